-- Moves a message that cannot be run to the dead letters, if it is still its consumer's.
-- KEYS: the deliveries, their deadlines, the returns, the dead letters.
-- ARGV: the token, a JSON object that says why, dead letters at most, how long they are kept in ms.
-- Returns how many old dead letters were dropped.
local noted = redis.call('HGET', KEYS[1], ARGV[1])
if not noted then return 0 end
local split = noted:find('\n', 1, true)
local list, wake, consumer, taken = unpack(cjson.decode(noted:sub(1, split - 1)))
local letter = cjson.decode(ARGV[2])
local message = noted:sub(split + 1)
letter.list, letter.wake = list, wake
if not letter.base64 then letter.message = message end -- JSON cannot hold the bytes of a message that is no text
local digest = redis.sha1hex(message)
letter.deliveries = cjson.decode(redis.call('HGET', KEYS[3], digest) or '[]')
letter.deliveries[#letter.deliveries + 1] = {consumer, taken}
redis.call('LPUSH', KEYS[4], cjson.encode(letter))
local dropped = math.max(0, redis.call('LLEN', KEYS[4]) - ARGV[3])
redis.call('LTRIM', KEYS[4], 0, ARGV[3] - 1)
redis.call('PEXPIRE', KEYS[4], ARGV[4])
redis.call('HDEL', KEYS[3], digest)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return dropped
