-- Ends a put, a get or a join that has waited long enough. The waiters behind it move up.
-- Safe to send twice. If the attempt was answered meanwhile, it gets that answer again.
--
-- ARGV[4] id
-- Returns {BUSY}: the attempt got nothing, and will get nothing | {DONE, item or ''} | another answer of that attempt
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended then return answer_of(id, ended) end

leave(getters, id)
leave(putters, id)
redis.call('SREM', joiners, id)
note_done(id, BUSY)
return {BUSY}
