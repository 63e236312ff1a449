-- Reads whether the event is set and who waits for it, for people. Changes nothing. Its cost grows with the waiters.
--
-- KEYS[1] state    hash: kind; flag: 1 while it is set; clock: when it was last set
-- KEYS[2] waiters  sorted set: id by its last sign of life, in ms of server time
-- ARGV[1] kind
-- Returns {DONE, 1: set, 0: not, {id, ...}} | {OTHER_KIND, kind}
local waiters = KEYS[2]
local stored = redis.call('HMGET', state, 'kind', 'flag')
if stored[1] and stored[1] ~= ARGV[1] then return {OTHER_KIND, stored[1]} end
return {DONE, tonumber(stored[2] or 0), redis.call('ZRANGEBYSCORE', waiters, now - ALIVE_MS, '+inf')}
