-- One call to a barrier: a party arrives, and asks again while it waits; it opens the barrier after the action; it leaves.
-- Anybody aborts, resets, or looks.
-- Guarantee: a round opens when all its parties have arrived and were heard lately, for all of them at once. Else it
-- breaks for all of them at once. Each party's answer is noted under its id when the round ends: who is slow finds it
-- there, though the next round has begun, and who is fast is not counted twice.
-- Safe to send twice: an id arrives once, and what has ended is answered from its note.
--
-- KEYS[1] state    hash: kind, parties; broken: 1; i:<id> = index of who arrived; actor: id of the last one of these that
--                  has an action; runner: id of the one that runs it; doubt: when nobody had been heard, in ms
-- KEYS[2] waiters  sorted set: id by its last sign of life, in ms of server time
-- ARGV[1] kind   ARGV[2] parties   ARGV[3] ttl (ms) of a broken barrier, or '' to keep it for ever
-- ARGV[4] arrive | open | leave | abort | reset | look | list   ARGV[5] id; '' to look or list
-- ARGV[6] 1: this party has an action
-- Returns {DONE, index}: the round has opened | {QUEUED, 0} | {GRANTED, index}: all are here, run the action, then open
--         | {BROKEN} | {DONE, broken, how many wait, {id, ...}} to a look (no ids) and a list
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, parties}
local waiters, parties, ttl, verb, id = KEYS[2], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local stored = redis.call('HMGET', state, 'kind', 'parties', 'broken', 'actor', 'runner', 'doubt')
if stored[1] and stored[1] ~= ARGV[1] then return {OTHER_KIND, stored[1]} end
if stored[2] and stored[2] ~= ARGV[2] then return {OTHER_PERMITS, stored[2]} end
local broken, actor, runner, doubt = stored[3] == '1', stored[4], stored[5], tonumber(stored[6] or '0')

-- What is broken says so until its ttl; else the state says nothing that a day without use does not make void.
local function keep()
  redis.call('HSET', state, 'kind', ARGV[1], 'parties', ARGV[2])
  if broken and ttl == '' then
    redis.call('PERSIST', state)
  else
    redis.call('PEXPIRE', state, broken and ttl or IDLE_MS)
  end
  redis.call('PEXPIRE', waiters, IDLE_MS)
end

-- Ends the round: every party has its answer, and is woken to ask for it. Nothing of the round is left.
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

-- Has a party that waits, or runs the action, not been heard for so long that its process may be dead?
local function silent()
  local first = redis.call('ZRANGE', waiters, 0, 0, 'WITHSCORES')
  return first[1] and now - tonumber(first[2]) > ALIVE_MS
end

-- Silence breaks the round. If nobody at all was heard, it may be Redis that was away: then they get as long again.
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
if broken or verb ~= 'arrive' then             -- it leaves, or it opens what Redis has lost
  if not broken then finish(false, true) end
  note_done(id, BROKEN)
  return {BROKEN}
end

local count = redis.call('ZCARD', waiters)
local index = redis.call('HGET', state, 'i:' .. id)
if not index then
  if count >= parties then return {QUEUED, 0} end -- a full round that is not open yet: it comes again for the next one
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
