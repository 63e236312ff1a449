-- The heartbeat of one process calls this: it renews what the process still holds, and asks again for its waiters.
-- Guarantee: a renewal never brings back a lease that is over. Safe to send twice.
--
-- ARGV[4] n, the number of holds   then n times: id, token, lease (ms)
--         then for each waiter: id, arrival, and the name of the Condition that it waits for, or ''
-- Returns {now (server ms), ms to the next end of a lease or -1, holds, waiters, how many wait in all}:
--         holds: for each, the end of its lease (server ms), 0 if it is lost, or -1 if another's release ended it
--         waiters: for each, 'token end' if it holds by now, or was granted a permit that another's release has ended
--                  since; else ''
local first_waiter = 5 + 3 * ARGV[4]
local ends, grants = {}, {}
if #ARGV >= first_waiter then
  heard = session_of(ARGV[5])
  note_alive()
end
reap()
for i = 5, first_waiter - 1, 3 do
  local id, token, lease_ms = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local current, claimed = held(id)
  if current == token then
    renew(id, token, claimed, lease_ms)
    ends[#ends + 1] = now + lease_ms
  else
    local answer = done(id)
    if not answer then lose(id) end
    ends[#ends + 1] = answer == ENDED and -1 or 0
  end
end
for i = first_waiter, #ARGV, 3 do
  local id, arrival, condition = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not done(id) and not held(id) and not redis.call('ZSCORE', queue, id) then
    local waits_in = condition == '' and queue or state .. ':cond:' .. condition
    if condition ~= '' and not redis.call('ZSCORE', waits_in, id) then
      -- The waiter was notified, or passed over, while its process was silent or its grant was lost. It is better to
      -- wake it for nothing than never.
      waits_in, arrival = queue, arrive()
    end
    redis.call('ZADD', waits_in, 'NX', arrival, id)
    redis.call('PEXPIRE', waits_in, IDLE_MS)
  end
end
local nobody_waits = advance()
for i = first_waiter, #ARGV, 3 do
  local id, ended = ARGV[i], done(ARGV[i])
  -- A permit is free though this id waits: no process heard its grant. The process will hear this answer.
  if ARGV[i + 2] == '' and nobody_waits and not ended and fits(id) and not held(id) then
    grant(id, CLAIM_MS, '?')
  end
  local token = held(id)
  if ended == ENDED then     -- no process heard of the grant: see semaphore_release.lua
    grants[#grants + 1] = mint() .. ' ' .. string.format('%.0f', now + CLAIM_MS)
  else
    grants[#grants + 1] = token and token .. ' ' .. redis.call('ZSCORE', holders, id) or ''
  end
end
if #ARGV >= first_waiter then ask_back() end
keep()
return {now, soonest(), ends, grants, redis.call('ZCARD', queue)}
