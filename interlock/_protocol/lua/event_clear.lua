-- Clears the event. It keeps the time of the last set, for the waiters that waited then and have not asked since.
-- Guarantee: a clear that is sent again after a later set by another caller does nothing.
--
-- KEYS[1] state    hash: kind; flag: 1 while it is set; clock: when it was last set
-- ARGV[1] kind   ARGV[2] id of this call
-- Returns {DONE} | {STALE} | {OTHER_KIND, kind}
local call = ARGV[2]
local kind = redis.call('HGET', state, 'kind')
if kind and kind ~= ARGV[1] then return {OTHER_KIND, kind} end
local answer = done(call)
if answer then return {answer} end

redis.call('HDEL', state, 'flag')
redis.call('PEXPIRE', state, IDLE_MS)
note_done(call, DONE)
return {DONE}
