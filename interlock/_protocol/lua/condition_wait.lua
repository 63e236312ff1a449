-- Releases a lock and starts the wait for a Condition of it in one step: no process can notify in between.
-- Guarantee: stores what the holder wrote, as lock_release.lua does. Safe to send twice: the second copy only answers.
--
-- KEYS[4..]  the values written
-- ARGV[4] id   ARGV[5] its token   ARGV[6] the last token of its block that was used, or 0
-- ARGV[7] id of the attempt to have the lock again   ARGV[8] name of the Condition
-- ARGV[9..]  for each of KEYS[4..]: the encoded value, and its ttl (ms) or '' to leave the ttl as it is
-- Returns {QUEUED, arrival, now (server ms)}
--         | {LOST}: the id does not hold under this token any more; nothing is written, and it does not wait
--         | {GONE}: released, but it does not wait, since a value to be written exists no longer
--         | {STALE}: one of the two attempts has ended; nothing is written, and it does not wait
local id, token, again, name = ARGV[4], ARGV[5], ARGV[7], ARGV[8]
local waiters = state .. ':cond:' .. name
local answer = done(id)
-- If it no longer waits, it has been notified.
if answer == DONE then return {QUEUED, redis.call('ZSCORE', waiters, again) or arrive(), now} end
if answer == BUSY then answer = LOST end
if answer then return {answer} end
if done(again) then return {STALE} end       -- this copy came late: its caller has given up the wait since

heard = session_of(again)
reap()
if held(id) ~= token then
  lose(id)
  advance()
  return {LOST}
end
answer = store(9, token)
wind_back(ARGV[6])
local arrival = arrive()
if answer == DONE then
  note_alive()
  redis.call('ZADD', waiters, arrival, again)
  redis.call('PEXPIRE', waiters, IDLE_MS)
end
drop(id)
advance()
note_done(id, answer)
keep()
if answer ~= DONE then return {answer} end
return {QUEUED, arrival, now}
