-- One process is heard: renews what it still holds, and asks again for what it waits for.
-- Guarantee: a renewal never brings back a lease that is over. Safe to send twice.
--
-- ARGV[4] n, the number of holds   then n times: id, token, lease (ms)
--         then for each waiter: id, arrival, and the name of the Condition that it waits for, or ''
-- Returns {now (server ms), ms to the next end of a lease or -1, holds, waiters}:
--         holds: for each, the end of its lease (server ms), 0 if it is lost, or -1 if another's release ended it
--         waiters: for each, 'token end' if it holds by now, or ''
local session = session_of(ARGV[5])
local first_waiter = 5 + 3 * ARGV[4]
local ends, grants = {}, {}
reap()
for i = 5, first_waiter - 1, 3 do
  local id, token, lease = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  if held(id) == token then
    renew(id, token, lease)
    ends[#ends + 1] = now + lease
  else
    local answer = done(id)
    if not answer then lose(id) end
    ends[#ends + 1] = answer == ENDED and -1 or 0
  end
end
if #ARGV >= first_waiter then
  redis.call('SET', alive_key(session), 1, 'PX', ALIVE_MS)
  for i = first_waiter, #ARGV, 3 do
    local id, arrival, condition = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if not done(id) and not held(id) and not redis.call('ZSCORE', queue, id) then
      local waits_in = condition == '' and queue or state .. ':cond:' .. condition
      if condition ~= '' and not redis.call('ZSCORE', waits_in, id) then
        -- notified, or passed over, while it was silent or its grant was lost: better woken for nothing than never
        waits_in, arrival = queue, tick()
        redis.call('HSET', state, 'clock', arrival)
      end
      redis.call('ZADD', waits_in, 'NX', arrival, id)
      redis.call('PEXPIRE', waits_in, IDLE_MS)
    end
  end
end
advance()
for i = first_waiter, #ARGV, 3 do
  local id = ARGV[i]
  -- a permit that is still free was not taken because nobody heard the grant; this answer will be heard
  if ARGV[i + 2] == '' and not done(id) and not held(id) and fits(id) and redis.call('ZCARD', queue) == 0 then
    grant(id, CLAIM_MS, '?')
  end
  local token = held(id)
  grants[#grants + 1] = token and token .. ' ' .. redis.call('ZSCORE', holders, id) or ''
end
keep()
return {now, soonest(), ends, grants}
