-- Reads who holds and who waits, for people and for statistics. Changes nothing. Its cost grows with what it reports.
-- It leaves out what has ended: leases that are over, and waiters that would be passed over, since Redis did not hear
-- their process in time.
--
-- ARGV[4] name of a Condition, or ''   ARGV[5] how many holders and waiters to read at most; 0: all
-- Returns {kind or '', permits, now (server ms), {id, token, end of lease (server ms), ...}, {id, arrival, ...},
--          {id, arrival, ...} that wait for that Condition, {how many ids hold, wait, and wait for that Condition}}
--         The counts have also what it does not read, and what it leaves out as ended.
local leases, most = {}, tonumber(ARGV[5])
local function living(key)
  local ids = {}
  local queued = redis.call('ZRANGE', key, 0, most - 1, 'WITHSCORES')
  for i = 1, #queued, 2 do
    local id = queued[i]
    if alive(id) then ids[#ids + 1] = id; ids[#ids + 1] = queued[i + 1] end
  end
  return ids
end

local token, ends, only = string.match(stored[7] or '', '^(%d+) (%d+) (.+)$') -- lock_acquire_alone.lua
if token and tonumber(ends) > now then leases = {only, token, ends} end
local found = redis.call('ZRANGE', holders, 0, most - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local token = held(found[i])
  if token and tonumber(found[i + 1]) > now then
    leases[#leases + 1] = found[i]
    leases[#leases + 1] = token
    leases[#leases + 1] = found[i + 1]
  end
end
local waiters, counts = {}, {redis.call('ZCARD', holders) + (token and 1 or 0), redis.call('ZCARD', queue), 0}
if ARGV[4] ~= '' then
  local notified = state .. ':cond:' .. ARGV[4]
  waiters, counts[3] = living(notified), redis.call('ZCARD', notified)
end
return {kind or '', permits, now, leases, living(queue), waiters, counts}
