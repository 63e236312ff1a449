-- Reads the state of a queue and changes nothing. The cost grows with what it reports: for people, not for decisions.
--
-- Returns {DONE, items, unfinished, closed ends, {getters' ids in order}, {putters' ids in order}}
--         | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local wrong = mismatch()
if wrong then return wrong end

local function living(queue)
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    local until_ms = redis.call('ZSCORE', heard, id)
    if until_ms and tonumber(until_ms) > now then ids[#ids + 1] = id end
  end
  return ids
end

return {DONE, size(), unfinished, closed, living(getters), living(putters)}
