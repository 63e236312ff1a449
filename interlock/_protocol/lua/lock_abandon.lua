-- Ends an attempt that waits: takes its id out of the queue, and passes the grant on if that has come meanwhile. Safe
-- to send twice.
-- If the grant was a permit that another caller's release has ended since, no one used it: that release now adds a
-- permit instead.
--
-- ARGV[4] id   ARGV[5] name of the Condition that it may wait for, or ''
-- Returns {DONE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
reap()
redis.call('ZREM', queue, id)
if ARGV[5] ~= '' then redis.call('ZREM', state .. ':cond:' .. ARGV[5], id) end
pass_on(id)
local unused_token = lingers(id) and held(id)
if unused_token then wind_back(unused_token) end
drop(id)
local ended = done(id)
local unused = ended == ENDED
if unused and kind and kind ~= 'BoundedSemaphore' then
  permits = permits + 1
  keep()
  redis.call('HSET', state, 'permits', permits)
end
advance()
if unused or not ended then note_done(id, DONE) end
return {DONE}
