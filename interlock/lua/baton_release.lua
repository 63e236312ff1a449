-- Ends a lease: checks the token, stores what the holder wrote, and hands over, all in one.
-- Guarantee: nothing is written under an old token. Safe to send twice: the second time it only answers.
--
-- KEYS[4..]  the values written
-- ARGV[3] id of the hold   ARGV[4] its token   ARGV[5] id of this call
-- ARGV[6..]  for each of KEYS[4..]: the encoded value, and its ttl (ms) or '' to leave it
-- Returns {DONE} | {LOST}: not held under this token any more, nothing written | {ENDED}: the same, for another's release
--         of a semaphore took this permit | {GONE}: released, but a value to be
--         written exists no longer, nothing written | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, token, call = ARGV[3], ARGV[4], ARGV[5]
local wrong = mismatch()
if wrong then return wrong end
local answer = done(call)
if answer then return {answer} end

reap()
if held(id) ~= token then
  advance()
  if redis.call('DEL', state .. ':ended:' .. id) == 0 then return {LOST} end
  note_done(call, ENDED)
  return {ENDED}
end
answer = DONE
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then answer = GONE end
end
if answer == DONE then
  for i = 4, #KEYS do
    local encoded, ttl = ARGV[2 * i - 2], ARGV[2 * i - 1]
    if ttl == '' then redis.call('SET', KEYS[i], encoded, 'KEEPTTL') else redis.call('SET', KEYS[i], encoded, 'PX', ttl) end
  end
end
drop(id)
advance()
note_done(call, answer)
keep()
return {answer}
