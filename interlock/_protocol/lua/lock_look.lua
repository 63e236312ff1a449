-- Reads who holds and who waits, for people and for statistics. Changes nothing. Its cost grows with what it reports.
-- It leaves out what has ended: leases that are over, and waiters that would be passed over, since Redis did not hear
-- their process in time.
--
-- ARGV[4] name of a Condition, or ''
-- Returns {kind or '', permits, now (server ms), {id, token, end of lease (server ms), ...}, {id, ...},
--          {id, ...} that wait for that Condition}
local leases = {}
local function living(key)
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if alive(id) then ids[#ids + 1] = id end
  end
  return ids
end

local found = redis.call('ZRANGE', holders, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
  local token = held(found[i])
  if token and tonumber(found[i + 1]) > now then
    leases[#leases + 1] = found[i]
    leases[#leases + 1] = token
    leases[#leases + 1] = found[i + 1]
  end
end
local waiters = ARGV[4] ~= '' and living(state .. ':cond:' .. ARGV[4]) or {}
return {kind or '', permits, now, leases, living(queue), waiters}
