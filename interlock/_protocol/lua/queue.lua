-- Every script of the queues begins with this file, behind attempt.lua: the state of one queue, or of one way of a
-- Pipe.
-- KEYS[1] state    hash: kind; maxsize; unfinished (count, of a JoinableQueue); clock;
--                  closed: 'r', 'w' or 'rw', the closed ends of a Pipe's way
-- KEYS[2] items    list: encoded items, the oldest first
-- KEYS[3] getters  KEYS[4] putters   sorted sets: waiters' ids by their arrival
-- KEYS[5] heard    sorted set: getters and putters by the time when they count as dead unless Redis hears them again,
--                  in ms of server time
-- KEYS[6] joiners  set: ids that wait until no item is unfinished
-- beside it, for each session, with an expiry of its own:
--         <state>:got:<session>  hash: slot -> the item that the slot's last ended get took, to answer it once more
-- ARGV[1] kind     ARGV[2] maxsize, 0: no bound     ARGV[3] ttl (ms) of what it holds, or '' to keep it for ever
--
-- A waiter is served when fewer waiters are ahead of it than there are items (or free places): each of those ahead has
-- an item or a place of its own.
-- Each waiter has its own time of death, since its session may live on and have forgotten it.
local items, getters, putters, heard, joiners = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stored = redis.call('HMGET', state, 'kind', 'maxsize', 'unfinished', 'closed', 'clock')
local kind, bound, unfinished, closed = stored[1], stored[2], tonumber(stored[3] or '0'), stored[4] or ''
local maxsize = tonumber(ARGV[2])
clock = tonumber(stored[5] or '0')

-- Returns nil, or the answer to return if this name is used for something else.
local function mismatch()
  if kind and kind ~= ARGV[1] then return {OTHER_KIND, kind} end
  if bound and bound ~= ARGV[2] then return {OTHER_PERMITS, bound} end
end

local function size() return redis.call('LLEN', items) end
local function is_closed(part) return string.find(closed, part, 1, true) ~= nil end

-- Returns how many waiters of a queue the script can serve now.
local function served(queue)
  if queue == getters then return size() end
  return maxsize - size()
end

local function drop(queue, id)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', heard, id)
end

-- Wakes the last of the waiters that can be served: the others have been woken before. The waiter that wakes has the
-- time of a claim to come.
local function advance(queue)
  local last = served(queue) - 1
  while last >= 0 do
    local id = redis.call('ZRANGE', queue, last, last)[1]
    if not id then return end
    redis.call('ZADD', heard, now + CLAIM_MS, id)
    if wake(id) > 0 then return end
    drop(queue, id)          -- no process listens: it is gone, or will ask again and get its place back
  end
end

-- Takes a waiter out that was not served: the waiters behind it move up.
local function leave(queue, id)
  local rank = redis.call('ZRANK', queue, id)
  if not rank then return end
  drop(queue, id)
  if rank < served(queue) then advance(queue) end
end

-- Takes out the waiters that Redis has not heard in time.
local function reap()
  while true do
    local id = redis.call('ZRANGEBYSCORE', heard, '-inf', now, 'LIMIT', 0, 1)[1]
    if not id then return end
    leave(getters, id)
    leave(putters, id)
    redis.call('ZREM', heard, id)
  end
end

-- Returns how many waiters are ahead of an asker, and whether the asker is queued. A waiter that was passed over gets
-- its place back.
local function ahead(queue, id, arrival)
  if arrival ~= '' then redis.call('ZADD', queue, 'NX', arrival, id) end
  local rank = redis.call('ZRANK', queue, id)
  if rank then return rank, true end
  return redis.call('ZCARD', queue), false
end

-- Queues a waiter, once, and notes that Redis heard it. Returns its arrival.
local function enqueue(queue, id)
  local arrival = redis.call('ZSCORE', queue, id)
  if arrival then
    arrival = string.format('%.0f', arrival)
  else
    arrival = tick()
    redis.call('HSET', state, 'clock', arrival)
    redis.call('ZADD', queue, arrival, id)
  end
  redis.call('ZADD', heard, now + ALIVE_MS, id)
  redis.call('PEXPIRE', queue, IDLE_MS)
  redis.call('PEXPIRE', heard, IDLE_MS)
  return arrival
end

local function got_key(id) return state .. ':got:' .. session_of(id) end
local function slot_of(id) return string.match(id, '^[^/]+/(%d+)') end

-- Returns the answer of an ended attempt, however often it asks. The answer to a get has its item.
local function answer_of(id, ended)
  if ended ~= DONE then return {ended} end
  return {DONE, redis.call('HGET', got_key(id), slot_of(id)) or ''}
end

-- An empty queue may expire when it is idle, since it is the same as none. Redis keeps what a queue holds for ever, or
-- for its ttl.
local function keep()
  if not kind then
    kind = ARGV[1]
    redis.call('HSET', state, 'kind', kind, 'maxsize', ARGV[2])
  end
  local half_closed = closed == 'r' or closed == 'w'
  local holds = unfinished > 0 or half_closed or size() > 0
  if holds and ARGV[3] == '' then
    redis.call('PERSIST', state)
    redis.call('PERSIST', items)
  else
    local ms = holds and ARGV[3] or IDLE_MS
    redis.call('PEXPIRE', state, ms)
    redis.call('PEXPIRE', items, ms)
  end
end
