-- Notes that a process uses these names, at the server's time: for pages that list locks without a scan of all keys.
-- Guarantee: the set keeps the MOST names that were noted last, none for longer than a day. Safe to send twice.
--
-- KEYS[1] names   sorted set: a name, or of a Condition the name of its lock, "}" and its own, by server time in ms
-- ARGV    the members
local MOST = 10000
local DAY_MS = 86400000      -- no lease is longer
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, name) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - DAY_MS)
local beyond = redis.call('ZCARD', KEYS[1]) - MOST
if beyond > 0 then redis.call('ZPOPMIN', KEYS[1], beyond) end
redis.call('PEXPIRE', KEYS[1], DAY_MS)
