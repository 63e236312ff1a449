-- Ends an attempt that waits: leaves the queue; if the grant has come meanwhile, passes it on. Safe to send twice.
--
-- ARGV[4] id
-- Returns {DONE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
reap()
redis.call('ZREM', queue, id)
pass_on(id)
drop(id)
advance()
if not done(id) then note_done(id, DONE) end
return {DONE}
