-- Ends a lease: checks the token, stores what the holder wrote, and hands the permit over, in one step.
-- Guarantee: nothing is written under an old token. Safe to send twice: the second time it only answers.
--
-- KEYS[4..]  the values written
-- ARGV[4] id   ARGV[5] its token   ARGV[6] the last token of its block that was used, or 0
-- ARGV[7..]  for each of KEYS[4..]: the encoded value, and its ttl (ms) or '' to leave the ttl as it is
-- Returns {DONE} | {LOST}: the id does not hold under this token any more, and nothing is written
--         | {GONE}: released, but nothing is written, since a value to be written exists no longer
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, token = ARGV[4], ARGV[5]
local wrong = mismatch()
if wrong then return wrong end
local answer = done(id)
-- With BUSY, a late copy of its acquire, which was a try, has found another holder.
if answer == BUSY then answer = LOST end
if answer then return {answer} end

reap()
if held(id) ~= token then
  lose(id)
  advance()
  return {LOST}
end
answer = store(7, token)
wind_back(ARGV[6])
drop(id)
advance()
note_done(id, answer)
keep()
return {answer}
