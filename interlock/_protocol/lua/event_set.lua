-- Sets the event and wakes all its waiters; each of them then asks again. The cost grows with the number of waiters.
-- Guarantee: a set that is sent again after a later clear by another caller does nothing.
--
-- KEYS[1] state    hash: kind; flag: 1 while it is set; clock: when it was last set
-- KEYS[2] waiters  sorted set: id by its last sign of life, in ms of server time
-- ARGV[1] kind   ARGV[2] ttl (ms) of an event that is set, or '' to keep it for ever   ARGV[3] id of this call
-- Returns {DONE} | {STALE} | {OTHER_KIND, kind}
local waiters, ttl, call = KEYS[2], ARGV[2], ARGV[3]
local stored = redis.call('HMGET', state, 'kind', 'flag', 'clock')
if stored[1] and stored[1] ~= ARGV[1] then return {OTHER_KIND, stored[1]} end
local answer = done(call)
if answer then return {answer} end

clock = tonumber(stored[3] or '0')
if stored[2] ~= '1' then
  redis.call('HSET', state, 'kind', ARGV[1], 'flag', '1', 'clock', tick())
  for _, id in ipairs(redis.call('ZRANGE', waiters, 0, -1)) do wake(id) end
  redis.call('DEL', waiters)
end
if ttl == '' then
  redis.call('PERSIST', state)
else
  redis.call('PEXPIRE', state, ttl)
end
note_done(call, DONE)
return {DONE}
