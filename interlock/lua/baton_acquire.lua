-- Grants a permit to the asker if one is free and nobody waits; else queues it, once, if it wants to wait.
-- Guarantee: first come, first served. An ended lease goes to the head of the queue, not to the asker.
-- Safe to send twice: an attempt that holds gets the same token, its lease renewed; one that has ended gets nothing.
--
-- ARGV[4] id   ARGV[5] lease (ms)   ARGV[6] 1: wait, 0: only try   ARGV[7] arrival of an id that queued before, or ''
-- Returns {GRANTED, token, end of lease (server ms), now (server ms)} | {BUSY, '', ms to the next end of a lease or -1, now}
--         | {QUEUED, arrival, ms to the next end of a lease or -1, now} | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, lease, wait, arrival = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended == BUSY then return {BUSY, '', soonest(), now} end
if ended then return {STALE} end

reap()
if wait then redis.call('SET', alive_key(session_of(id)), 1, 'PX', ALIVE_MS) end
if arrival ~= '' and not held(id) then redis.call('ZADD', queue, 'NX', arrival, id) end
advance()
local token = held(id)
if token then
  renew(id, token, lease)
elseif fits(id) and redis.call('ZCARD', queue) == 0 then
  token = grant(id, lease, '')
end
if token then
  keep()
  return {GRANTED, token, now + lease, now}
end
if not wait then
  note_done(id, BUSY)
  return {BUSY, '', soonest(), now}
end
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
