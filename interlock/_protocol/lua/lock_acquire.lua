-- Grants a permit to the asker if one is free and no other id waits. Else queues the asker, once, if it wants to wait.
-- Guarantee: first come, first served. The permit of an ended lease goes to the head of the queue, not to the asker.
-- Safe to send twice: an attempt that holds gets the same token and a renewed lease; an attempt that has ended gets
-- nothing.
--
-- ARGV[4] id   ARGV[5] lease (ms)   ARGV[6] 1: wait, 0: only try   ARGV[7] arrival of an id that queued before, or ''
-- ARGV[8] values that it wants with the grant (w: in lock.lua), or ''
-- Returns {GRANTED, token, end of lease (server ms), now (server ms), values or ''}
--         | {BUSY, '', ms to the next end of a lease or -1, now}
--         | {QUEUED, arrival, ms to the next end of a lease or -1, now}
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, lease_ms, wait, arrival, wants = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended == BUSY then return {BUSY, '', soonest(), now} end
if ended == ENDED then       -- it was granted a permit that is ended by now: see semaphore_release.lua
  local token = mint()
  keep()
  return {GRANTED, token, now + lease_ms, now}
end
if ended then return {STALE} end

if wait then heard = session_of(id) end
reap()
if arrival ~= '' and not held(id) then enqueue(id, arrival) end
local nobody_waits = advance()
local token, claimed = held(id)
if token then
  renew(id, token, claimed, lease_ms)
elseif nobody_waits and fits(id) then
  token = grant(id, lease_ms, '')
end
if token then
  keep()
  return {GRANTED, token, now + lease_ms, now, wants ~= '' and ship(wants) or ''}
end
ask_back()
if not wait then
  note_done(id, BUSY)
  return {BUSY, '', soonest(), now}
end
arrival = redis.call('ZSCORE', queue, id)
if arrival then
  arrival = string.format('%.0f', arrival)
else
  arrival = arrive()
  enqueue(id, arrival)
end
note_alive()
if wants ~= '' then redis.call('HSET', state, 'w:' .. id, wants) end
keep()
return {QUEUED, arrival, soonest(), now}
