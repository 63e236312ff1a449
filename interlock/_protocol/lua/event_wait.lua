-- Says whether the event is set, or was set since this waiter came. If not, queues the waiter, once, or ends its wait.
-- Guarantee: a waiter that queued before a set is told of it, though a clear followed at once, and though the waiter
-- was stopped meanwhile.
-- Safe to send twice: the first call notes when the waiter came, and later calls compare with that note.
--
-- KEYS[1] state    hash: kind; flag: 1 while it is set; clock: when it was last set
-- KEYS[2] waiters  sorted set: id by its last sign of life, in ms of server time
-- ARGV[1] kind   ARGV[2] ttl (ms) of an event that is set, or '' to keep it for ever
-- ARGV[3] id, or '' to ask only   ARGV[4] 1: queue, 0: leave
-- Returns {GRANTED} | {QUEUED} | {BUSY}: not set, and not queued | {OTHER_KIND, kind}
local waiters, ttl, id, stay = KEYS[2], ARGV[2], ARGV[3], ARGV[4] == '1'
local stored = redis.call('HMGET', state, 'kind', 'flag', 'clock')
if stored[1] and stored[1] ~= ARGV[1] then return {OTHER_KIND, stored[1]} end
local set, last = stored[2] == '1', stored[3] or '0'
local since = id ~= '' and done(id)
if since == STALE then return {BUSY} end       -- the waiter has left

if set and ttl ~= '' then redis.call('PEXPIRE', state, ttl) end
if set or (since and tonumber(last) > since) then
  if since then redis.call('ZREM', waiters, id) end
  return {GRANTED}
end
if id == '' then return {BUSY} end
if not stay then
  redis.call('ZREM', waiters, id)
  note_done(id, STALE)
  return {BUSY}
end
redis.call('HSET', state, 'kind', ARGV[1])
redis.call('PEXPIRE', state, IDLE_MS)
note_done(id, since and string.format('%.0f', since) or last)
redis.call('ZREMRANGEBYSCORE', waiters, '-inf', now - ALIVE_MS)
redis.call('ZADD', waiters, now, id)
redis.call('PEXPIRE', waiters, ALIVE_MS)
return {QUEUED}
