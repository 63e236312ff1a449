-- What every script of the baton begins with, behind attempt.lua: the state of one lock or semaphore, and the hand-over.
--
-- A Lock is a Semaphore with one permit, an RWLock one whose readers count for nothing among each other: one algorithm
-- serves all. All keys share one Cluster hash tag, {name}.
--
-- KEYS[1] state    hash: kind; initial and permits (counts); clock; h:<id> = the holder's token, "?" behind it while claimed;
--                  n:<id> = the Condition by which a waiter was notified, until it releases
-- KEYS[2] holders  sorted set: id by the end of its lease, in ms of server time
-- KEYS[3] queue    sorted set: waiters' ids by their arrival
-- beside them      <state>:cond:<name>  sorted set: waiters of a Condition of this lock, by their arrival there
-- ARGV[1] kind     ARGV[2] initial permits     ARGV[3] ttl (ms) of permits added, or '' to keep them for ever
local holders, queue = KEYS[2], KEYS[3]
local stored = redis.call('HMGET', state, 'kind', 'initial', 'permits', 'clock')
local kind, initial = stored[1], stored[2]
local permits = tonumber(stored[3] or ARGV[2])
clock = tonumber(stored[4] or '0')

-- Is this name used for something else?  nil, or the answer to return.
local function mismatch()
  if kind and kind ~= ARGV[1] then return {OTHER_KIND, kind} end
  if initial and initial ~= ARGV[2] then return {OTHER_PERMITS, initial} end
end

local function grant(id, ms, mark)
  local token = tick()
  redis.call('HSET', state, 'clock', token, 'h:' .. id, token .. mark)
  redis.call('ZADD', holders, now + ms, id)
  redis.call('PEXPIRE', holders, IDLE_MS)
  return token
end

local function drop(id)
  redis.call('HDEL', state, 'h:' .. id, 'n:' .. id)
  redis.call('ZREM', holders, id)
end

-- The token of a holder, and whether it is only claimed; nil if the id holds nothing.
local function held(id)
  local value = redis.call('HGET', state, 'h:' .. id)
  if not value then return nil end
  local token, mark = string.match(value, '^(%d+)(%??)$')
  return token, mark == '?'
end

-- Ends an attempt whose lease was over. A late copy of its acquire may have queued it again, or have it hold again.
local function lose(id)
  redis.call('ZREM', queue, id)
  drop(id)
  note_done(id, LOST)
end

-- Makes what is held, claimed or not, a lease of so many ms from now.
local function renew(id, token, lease)
  redis.call('HSET', state, 'h:' .. id, token)
  redis.call('ZADD', holders, now + lease, id)
end

-- Stores what a holder wrote: for each of KEYS[4..] the encoded value and its ttl (ms) or '', from that ARGV on. An array's
-- elements are '*:' and a JSON object of encoded elements by index (array_create.lua).
-- All or nothing: GONE if one of them exists no longer.
local function store(first)
  for i = 4, #KEYS do
    local wanted = string.sub(ARGV[first + 2 * (i - 4)], 1, 2) == '*:' and 'hash' or 'string'
    if redis.call('TYPE', KEYS[i]).ok ~= wanted then return GONE end
  end
  for i = 4, #KEYS do
    local encoded, ttl = ARGV[first + 2 * (i - 4)], ARGV[first + 2 * (i - 4) + 1]
    if string.sub(encoded, 1, 2) == '*:' then
      for index, element in pairs(cjson.decode(string.sub(encoded, 3))) do redis.call('HSET', KEYS[i], index, element) end
      if ttl ~= '' then redis.call('PEXPIRE', KEYS[i], ttl) end
    elseif ttl == '' then
      redis.call('SET', KEYS[i], encoded, 'KEEPTTL')
    else
      redis.call('SET', KEYS[i], encoded, 'PX', ttl)
    end
  end
  return DONE
end

-- Moves the first waiter of a Condition that is alive to the lock's own queue; whether there was one.
local function notify(name)
  local waiters = state .. ':cond:' .. name
  while true do
    local id = redis.call('ZPOPMIN', waiters)[1]
    if not id then return false end
    if redis.call('EXISTS', alive_key(session_of(id))) == 1 then
      local arrival = tick()
      redis.call('HSET', state, 'clock', arrival, 'n:' .. id, name)
      redis.call('ZADD', queue, arrival, id)
      return true
    end
  end
end

-- Who was notified and does not enter passes the notification on.
local function pass_on(id)
  local name = redis.call('HGET', state, 'n:' .. id)
  if name then
    redis.call('HDEL', state, 'n:' .. id)
    notify(name)
  end
end

-- Ends the leases that ran out. A claim that nobody confirmed makes its whole session doubtful.
local function reap()
  while true do
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > now then return end
    local _, claimed = held(first[1])
    if claimed then
      redis.call('DEL', alive_key(session_of(first[1])))
      pass_on(first[1])
    end
    drop(first[1])
  end
end

-- Whether an id could hold now, beside those that do. A writer's has a "w" behind its number.
local function fits(id)
  local n = redis.call('ZCARD', holders)
  if ARGV[1] ~= 'RWLock' then return n < permits end
  local function writes(each) return string.find(each, '^[^/]+/%d+/%d+w') end
  return n == 0 or not writes(id) and not writes(redis.call('ZRANGE', holders, 0, 0)[1])
end

-- Hands free permits to the heads of the queue that are alive; the message that wakes a waiter is its grant.
-- Afterwards nobody waits, or the first who does could not hold.
local function advance()
  while true do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return end
    local fit = fits(id)
    if not fit and ARGV[1] ~= 'RWLock' then return end -- a dead writer would keep readers from readers
    local session = session_of(id)
    if redis.call('EXISTS', alive_key(session)) == 1 then
      if not fit then return end
      redis.call('ZREM', queue, id)
      local token = grant(id, CLAIM_MS, '?')
      if tell(id, token, string.format('%.0f', now + CLAIM_MS)) == 0 then
        pass_on(id)          -- nobody listens: it is gone, or will re-ask and get its place back
        drop(id)
      end
    else
      redis.call('ZREM', queue, id)
      pass_on(id)
    end
  end
end

-- ms until the lease that ends first runs out; -1 if nobody holds.
local function soonest()
  local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
  return first[1] and tonumber(first[2]) - now or -1
end

-- What holds no state may expire when idle; a semaphore that grew holds some, for as long as its ttl says.
local function keep()
  if not kind then
    kind = ARGV[1]
    redis.call('HSET', state, 'kind', kind, 'initial', ARGV[2], 'permits', ARGV[2])
  end
  local grown = permits ~= tonumber(ARGV[2])
  if grown and ARGV[3] == '' then
    redis.call('PERSIST', state)
  else
    redis.call('PEXPIRE', state, grown and math.max(tonumber(ARGV[3]), IDLE_MS) or IDLE_MS)
  end
  redis.call('PEXPIRE', holders, IDLE_MS)
  redis.call('PEXPIRE', queue, IDLE_MS)
end
