-- Moves a message that cannot be run to the dead letters, if it is still its consumer's.
-- KEYS: the deliveries, their deadlines, the returns, the dead letters.
-- ARGV: the token, a JSON object that says why, dead letters at most, how long they are kept in ms.
-- Returns how many old dead letters were dropped.
local note = redis.call('HGET', KEYS[1], ARGV[1])
if not note then return 0 end
local message, list, wake, consumer, taken = read_note(note)
local letter = cjson.decode(ARGV[2])
letter.list, letter.wake = list, wake
if not letter.base64 then letter.message = message end -- JSON cannot hold the bytes of a message that is no text
local digest = redis.sha1hex(message)
letter.deliveries = cjson.decode(redis.call('HGET', KEYS[3], digest) or '[]')
letter.deliveries[#letter.deliveries + 1] = {consumer, taken}
local dropped = keep_letter(KEYS[4], letter, ARGV[3], ARGV[4])
redis.call('HDEL', KEYS[3], digest)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return dropped
