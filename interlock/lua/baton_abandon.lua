-- Ends an attempt that waits: leaves the queue; if the grant has come meanwhile, passes it on. Safe to send twice.
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
drop(id)
advance()
if not done(id) then note_done(id, DONE) end
return {DONE}
