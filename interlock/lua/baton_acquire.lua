-- Grants a permit to the asker if one is free and nobody waits; else queues it, once, if it wants to wait.
-- Guarantee: first come, first served. An ended lease goes to the head of the queue, not to the asker.
-- Safe to send twice: the same id gets the same answer; an id whose call has ended gets nothing.
--
-- ARGV[3] id   ARGV[4] lease (ms)   ARGV[5] 1: wait, 0: only try   ARGV[6] arrival of an id that queued before, or ''
-- Returns {GRANTED, token, end of lease (server ms), now (server ms)} | {BUSY, '', ms to the next end of a lease or -1, now}
--         | {QUEUED, arrival, ms to the next end of a lease or -1, now} | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, lease, wait, arrival = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6]
local wrong = mismatch()
if wrong then return wrong end
if done(id) then return {STALE} end

reap()
if wait then redis.call('SET', alive_key(session_of(id)), 1, 'PX', ALIVE_MS) end
if arrival ~= '' and not held(id) then redis.call('ZADD', queue, 'NX', arrival, id) end
advance()
local token, claimed = held(id)
if token and claimed then
  redis.call('HSET', state, 'h:' .. id, token)
  redis.call('ZADD', holders, now + lease, id)
elseif not token and redis.call('ZCARD', holders) < permits then
  token = grant(id, lease, '')
end
if token then
  keep()
  return {GRANTED, token, redis.call('ZSCORE', holders, id), now}
end
if not wait then return {BUSY, '', soonest(), now} end
arrival = redis.call('ZSCORE', queue, id)
if arrival then
  arrival = string.format('%.0f', arrival)
else
  arrival = tick()
  redis.call('HSET', state, 'clock', arrival)
  redis.call('ZADD', queue, arrival, id)
end
keep()
return {QUEUED, arrival, soonest(), now}
