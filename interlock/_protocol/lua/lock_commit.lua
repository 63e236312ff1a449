-- Stores what finished sections wrote; the holder keeps the lock.
-- Guarantee: nothing is written under an old token, and no late copy of a commit undoes a later commit. Safe to send
-- twice.
--
-- KEYS[4..]  the values written
-- ARGV[4] id   ARGV[5] its token   ARGV[6] number of this commit, 1 for the first of a hold
-- ARGV[7..]  for each of KEYS[4..]: the encoded value, and its ttl (ms) or '' to leave the ttl as it is
-- Returns {DONE} | {LOST}: the id does not hold under this token any more, and nothing is written
--         | {GONE}: a value to be written exists no longer, and nothing is written
--         | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, token, number = ARGV[4], ARGV[5], tonumber(ARGV[6])
local wrong = mismatch()
if wrong then return wrong end
reap()
if held(id) ~= token then return {LOST} end
if number <= tonumber(redis.call('HGET', state, 'c:' .. id) or '0') then return {DONE} end
local answer = store(7, token)
if answer == DONE then redis.call('HSET', state, 'c:' .. id, ARGV[6]) end
return {answer}
