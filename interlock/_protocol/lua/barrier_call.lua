-- One call to a barrier. A party arrives, and asks again while it waits. The party that ran the action opens the
-- barrier. A party that gives up leaves. Any process aborts, resets or looks.
-- Guarantee: a round opens when all its parties have arrived and Redis has heard each of them lately, for all of them
-- at once. Otherwise it breaks for all of them at once. The script notes each party's answer under its id when the
-- round ends. So a slow party finds its answer, though the next round has begun, and a fast party is not counted twice.
-- Safe to send twice: an id arrives once, and a party whose round has ended gets its answer from its note.
--
-- KEYS[1] state    hash: kind, parties; broken: 1; i:<id> = index of a party that arrived; actor: id of the last
--                  arrived party that has an action; runner: id of the party that runs the action; doubt: when a call
--                  found that Redis had heard none of the parties lately, in ms
-- KEYS[2] waiters  sorted set: id by its last sign of life, in ms of server time
-- ARGV[1] kind   ARGV[2] parties   ARGV[3] ttl (ms) of a broken barrier, or '' to keep it for ever
-- ARGV[4] arrive | open | leave | abort | reset | look | list   ARGV[5] id; '' to look or list
-- ARGV[6] 1: this party has an action
-- Returns {DONE, index}: the round has opened | {QUEUED, 0}
--         | {GRANTED, index}: all parties are here, this one runs the action, then opens
--         | {BROKEN} | {DONE, broken, how many wait, {id, ...}} to a look (no ids) and a list
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, parties}
local waiters, parties, ttl, verb, id = KEYS[2], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local stored = redis.call('HMGET', state, 'kind', 'parties', 'broken', 'actor', 'runner', 'doubt')
if stored[1] and stored[1] ~= ARGV[1] then return {OTHER_KIND, stored[1]} end
if stored[2] and stored[2] ~= ARGV[2] then return {OTHER_PERMITS, stored[2]} end
local broken, actor, runner, doubt = stored[3] == '1', stored[4], stored[5], tonumber(stored[6] or '0')

-- A broken barrier stays broken until its ttl is over. Any other state is void after a day without use, and expires.
local function keep()
  redis.call('HSET', state, 'kind', ARGV[1], 'parties', ARGV[2])
  if broken and ttl == '' then
    redis.call('PERSIST', state)
  else
    redis.call('PEXPIRE', state, broken and ttl or IDLE_MS)
  end
  redis.call('PEXPIRE', waiters, IDLE_MS)
end

-- Ends the round: notes each party's answer, wakes the party to ask for it, and deletes the state of the round.
local function finish(opened, breaks)
  for _, each in ipairs(redis.call('ZRANGE', waiters, 0, -1)) do
    note_done(each, opened and redis.call('HGET', state, 'i:' .. each) or BROKEN)
    if each ~= id then wake(each) end
  end
  redis.call('DEL', state, waiters)
  broken = breaks
  if broken then redis.call('HSET', state, 'broken', '1') end
  keep()
end

-- Whether Redis has not heard a party that waits or runs the action for so long that its process may be dead.
local function silent()
  local first = redis.call('ZRANGE', waiters, 0, 0, 'WITHSCORES')
  return first[1] and now - tonumber(first[2]) > ALIVE_MS
end

-- A silent party breaks the round. If Redis heard no party at all, perhaps Redis itself was away: then the parties get
-- as long again.
local function notice()
  if not silent() then return end
  local newest = tonumber(redis.call('ZREVRANGE', waiters, 0, 0, 'WITHSCORES')[2])
  if now - newest > ALIVE_MS and doubt < newest then
    doubt = now
    redis.call('HSET', state, 'doubt', now)
  elseif now - doubt > ALIVE_MS then
    finish(false, true)
  end
end

notice()
if verb == 'look' or verb == 'list' then
  local ids = verb == 'list' and redis.call('ZRANGE', waiters, 0, -1) or {}
  return {DONE, broken and 1 or 0, redis.call('ZCARD', waiters), ids}
end
local answer = done(id)
if answer then return answer >= 0 and {DONE, answer} or {answer} end

if verb == 'abort' or verb == 'reset' then
  finish(false, verb == 'abort')
  note_done(id, DONE)
  return {DONE, 0}
end
if verb == 'open' and runner == id then
  local index = tonumber(redis.call('HGET', state, 'i:' .. id))
  finish(true, false)
  return {DONE, index}
end
-- The party leaves, or it opens a round that Redis has lost.
if broken or verb ~= 'arrive' then
  if not broken then finish(false, true) end
  note_done(id, BROKEN)
  return {BROKEN}
end

local count = redis.call('ZCARD', waiters)
local index = redis.call('HGET', state, 'i:' .. id)
if not index then
  -- The round is full and not open yet: this party asks again, for the next round.
  if count >= parties then return {QUEUED, 0} end
  index, count = count, count + 1
  redis.call('HSET', state, 'i:' .. id, index)
  if ARGV[6] == '1' then
    actor = id
    redis.call('HSET', state, 'actor', id)
  end
end
index = tonumber(index)
redis.call('ZADD', waiters, now, id)
if count >= parties and not runner and not silent() then
  if not actor then
    finish(true, false)
    return {DONE, index}
  end
  runner = actor
  redis.call('HSET', state, 'runner', runner)
  if runner ~= id then wake(runner) end
end
keep()
if runner == id then return {GRANTED, index} end
return {QUEUED, 0}
