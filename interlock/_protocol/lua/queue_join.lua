-- Answers when no item is unfinished; until then the id waits. Safe to send twice.
--
-- ARGV[4] id
-- Returns {DONE} | {QUEUED, ''} | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended then return {ended} end

if unfinished == 0 then
  note_done(id, DONE)
  return {DONE}
end
redis.call('SADD', joiners, id)
redis.call('PEXPIRE', joiners, IDLE_MS)
keep()
return {QUEUED, ''}
