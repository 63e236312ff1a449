-- Every script of locks, semaphores and conditions begins with this file, behind attempt.lua: the state of one lock or
-- semaphore, and the hand-over.
--
-- A Lock is a Semaphore with one permit. An RWLock is a Lock whose readers count for nothing among each other. So one
-- algorithm serves all. All keys share one Cluster hash tag, {name}.
--
-- KEYS[1] state    hash: kind; initial and permits (counts); clock; arrived;
--                  h:<id> = the holder's token, with "?" behind it while the permit is only claimed;
--                  n:<id> = the Condition by which a waiter was notified, until it releases;
--                  w:<id> = the values that a waiter wants with its grant: JSON [[name, ttl in ms or 0], ...];
--                  c:<id> = the number of the holder's last commit;
--                  kept: when a script last put off the expiry of these three keys, in ms of server time;
--                  one: the only holder of a lock that no other id asked for (lock_acquire_alone.lua)
-- KEYS[2] holders  sorted set: id by the end of its lease, in ms of server time
-- KEYS[3] queue    sorted set: waiters' ids by their arrival
-- beside them      <state>:cond:<name>   sorted set: waiters of a Condition of this lock, by their arrival there
--                  <state>:value:<name>  what the lock guards: a string, or a hash (array_create.lua)
-- An id with an "l" and its lease (ms) behind its number lingers: its process keeps the lock and enters again without
-- asking. So its grant comes with a block of tokens, one for each entry, and a script tells it when another waits.
-- ARGV[1] kind     ARGV[2] initial permits     ARGV[3] ttl (ms) of permits added, or '' to keep them for ever
local holders, queue = KEYS[2], KEYS[3]
local shared = ARGV[1] == 'RWLock'
local stored = redis.call('HMGET', state, 'kind', 'initial', 'permits', 'clock', 'kept', 'arrived', 'one')
local kind, initial = stored[1], stored[2]
local permits = tonumber(stored[3] or ARGV[2])
clock = tonumber(stored[4] or '0')
local kept = tonumber(stored[5] or '0')
-- A clock of its own: the clock of the tokens runs ahead by blocks, and is wound back.
local arrived = tonumber(stored[6] or '0')
local heard                  -- the session that calls for a waiter: it is alive, whatever the keys say of it

-- Returns nil, or the answer to return if this name is used for something else.
local function mismatch()
  if kind and kind ~= ARGV[1] then return {OTHER_KIND, kind} end
  if initial and initial ~= ARGV[2] then return {OTHER_PERMITS, initial} end
end

-- Notes that Redis heard the session at this moment: no script passes over its waiters for a while.
local function note_alive() redis.call('SET', alive_key(heard), 1, 'PX', ALIVE_MS) end

local function alive(id)
  local session = session_of(id)
  return session == heard or redis.call('EXISTS', alive_key(session)) == 1
end

-- Returns the id whose lease ends first, and its end in ms; nil if no id holds. Reads it again only after leases
-- changed.
local first, first_end
local first_is_known = false
local function earliest()
  if not first_is_known then
    local found = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    first, first_end, first_is_known = found[1], tonumber(found[2]), true
  end
  return first, first_end
end

-- Gives an id a lease that ends `ms` from now.
local function lease(id, ms)
  redis.call('ZADD', holders, now + ms, id)
  if first_is_known and not first then
    first, first_end = id, now + ms
  else
    first_is_known = false
  end
  if ms > IDLE_MS - KEEP_MS then kept = 0 end -- the keys that say who holds must outlive the lease
end

-- Returns a token for a permit that is no longer held.
local function mint()
  local token = tick()
  redis.call('HSET', state, 'clock', token)
  return token
end

-- Returns the lease (ms) of an id that lingers, else nil.
local function lingers(id) return tonumber(string.match(id, '^[^/]+/%d+/%d+l(%d+)')) end

-- Grants a permit for `ms`, which is the lease or the time of a claim. An id that lingers gets a block of tokens: half
-- as many as there are microseconds in its lease, or in a minute if the lease is longer. So the clock runs ahead for no
-- longer than that, should the key be lost.
local function grant(id, ms, mark)
  local token, lease_ms = tick(), lingers(id)
  if lease_ms then clock = clock + math.min(lease_ms, 60000) * 500 end
  redis.call('HSET', state, 'clock', string.format('%.0f', clock), 'h:' .. id, token .. mark)
  lease(id, ms)
  redis.call('PEXPIRE', holders, IDLE_MS) -- a set that was empty is a new key, without an expiry
  return token
end

-- Winds the clock back to the last token of its block that a holder used; the rest of the block is free again.
local function wind_back(last)
  if last == '0' then return end
  clock = tonumber(last)
  redis.call('HSET', state, 'clock', last)
end

local function drop(id)
  redis.call('HDEL', state, 'h:' .. id, 'n:' .. id, 'w:' .. id, 'c:' .. id)
  redis.call('ZREM', holders, id)
  first_is_known = first_is_known and id == first and permits == 1 and not shared -- the id had the only permit
  first, first_end = nil, nil
end

-- Returns the token of a holder, and whether the permit is only claimed; nil if the id holds nothing.
local function held(id)
  if not earliest() then return nil end
  local value = redis.call('HGET', state, 'h:' .. id)
  if not value then return nil end
  local token, mark = string.match(value, '^(%d+)(%??)$')
  return token, mark == '?'
end

-- Ends an attempt whose lease was over. A late copy of its acquire may have queued the id again, or have made it hold
-- again: this undoes both.
local function lose(id)
  redis.call('ZREM', queue, id)
  drop(id)
  note_done(id, LOST)
end

-- Renews the lease of a holder, or turns its claim into a lease. The lease then ends `ms` from now.
local function renew(id, token, claimed, ms)
  if claimed then redis.call('HSET', state, 'h:' .. id, token) end
  lease(id, ms)
end

-- Returns a new arrival, later than all others.
local function arrive()
  arrived = math.max(arrived + 1, now_us)
  local arrival = string.format('%.0f', arrived)
  redis.call('HSET', state, 'arrived', arrival)
  return arrival
end

-- Queues an id for the lock at its arrival, unless it is queued already.
local function enqueue(id, arrival)
  redis.call('ZADD', queue, 'NX', arrival, id)
  redis.call('PEXPIRE', queue, IDLE_MS)
end

-- Stores what a holder wrote: for each of KEYS[4..] the encoded value and its ttl (ms) or '', from ARGV[first] on. The
-- elements of an array are '*:' and a JSON object of encoded elements by index (array_create.lua).
-- Stores all or nothing: returns GONE if one of the keys exists no longer. What others added while this token held
-- stays (lock_add.lua).
local function store(first, token)
  local added = {}
  for i = 4, #KEYS do
    if string.sub(ARGV[first + 2 * (i - 4)], 1, 2) == '*:' then
      if redis.call('TYPE', KEYS[i]).ok ~= 'hash' then return GONE end
    else
      local text = redis.pcall('GET', KEYS[i])
      if type(text) ~= 'string' then return GONE end
      added[i] = string.match(text, ' ' .. token .. ' %S+$')
    end
  end
  for i = 4, #KEYS do
    local encoded, ttl = ARGV[first + 2 * (i - 4)], ARGV[first + 2 * (i - 4) + 1]
    if string.sub(encoded, 1, 2) == '*:' then
      local fields, n = {}, 0
      for index, element in pairs(cjson.decode(string.sub(encoded, 3))) do
        fields[n + 1], fields[n + 2], n = index, element, n + 2
      end
      set_fields(KEYS[i], fields, 1)
      if ttl ~= '' then redis.call('PEXPIRE', KEYS[i], ttl) end
    else
      if added[i] then encoded = encoded .. ' -' .. added[i] end
      if ttl == '' then
        redis.call('SET', KEYS[i], encoded, 'KEEPTTL')
      else
        redis.call('SET', KEYS[i], encoded, 'PX', ttl)
      end
    end
  end
  return DONE
end

-- Moves the first waiter of a Condition whose session is alive to the lock's own queue. Returns whether there was one.
local function notify(name)
  local waiters = state .. ':cond:' .. name
  while true do
    local id = redis.call('ZPOPMIN', waiters)[1]
    if not id then return false end
    if alive(id) then
      redis.call('HSET', state, 'n:' .. id, name)
      enqueue(id, arrive())
      return true
    end
  end
end

-- Passes on the notification of a waiter that does not enter.
local function pass_on(id)
  local name = redis.call('HGET', state, 'n:' .. id)
  if name then
    redis.call('HDEL', state, 'n:' .. id)
    notify(name)
  end
end

-- Ends the leases that ran out. If nobody confirmed a claim, the whole session of its id counts as silent, unless that
-- session is the caller.
local function reap()
  while true do
    local id, ends = earliest()
    if not id or ends > now then return end
    local _, claimed = held(id)
    if claimed then
      if session_of(id) ~= heard then redis.call('DEL', alive_key(session_of(id))) end
      pass_on(id)
    end
    drop(id)
  end
end

-- Whether an id could hold now, beside the ids that do. It matters only to an RWLock which id that is.
local function fits(id)
  local holder = earliest()
  if not holder then return permits > 0 end
  if shared then
    -- A writer has a "w" behind its number.
    local function writes(each) return string.find(each, '^[^/]+/%d+/%d+w') end
    return not writes(id) and not writes(holder)
  end
  return permits > 1 and redis.call('ZCARD', holders) < permits
end

-- Returns the values that a waiter wants, as JSON: '' for each that exists no longer, '*:' and JSON [field, value, ...]
-- for an array. A process asks only for small arrays. To ask for a value counts as use of it.
local function ship(wants)
  local values = {}
  for i, want in ipairs(cjson.decode(wants)) do
    local key = state .. ':value:' .. want[1]
    local text = redis.pcall('GET', key)
    if type(text) == 'table' then text = '*:' .. cjson.encode(redis.call('HGETALL', key)) end
    values[i] = text or ''
    if want[2] > 0 then redis.call('PEXPIRE', key, want[2]) end
  end
  return cjson.encode(values)
end

-- Tells the process that holds the lock and lingers that another waiter is there.
local function ask_back()
  local id = earliest()
  if id and lingers(id) then tell(id, '-1', '0', '0', '') end
end

-- Hands free permits to the first waiters in the queue whose sessions are alive. The message that wakes a waiter is its
-- grant. Afterwards no id waits, or the first that waits could not hold. Returns whether it saw that no id waits.
local function advance()
  while shared or fits() do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return true end
    if alive(id) then
      if shared and not fits(id) then return false end
      redis.call('ZREM', queue, id)
      local waiting, values = 0, ''
      local wants = redis.call('HGET', state, 'w:' .. id)
      if wants then values = '\n' .. ship(wants) end
      if lingers(id) then waiting = redis.call('ZCARD', queue) end
      local token = grant(id, CLAIM_MS, '?')
      if tell(id, token, string.format('%.0f', now + CLAIM_MS), waiting, values) == 0 then
        pass_on(id)          -- no process listens: it is gone, or will ask again and get its place back
        if lingers(id) then wind_back(token) end
        drop(id)
      end
    else                     -- in an RWLock, also if it could not hold: a dead writer would keep readers from readers
      redis.call('ZREM', queue, id)
      redis.call('HDEL', state, 'w:' .. id)
      pass_on(id)
    end
  end
  return false
end

-- Returns the ms until the lease that ends first runs out; -1 if no id holds.
local function soonest()
  local id, ends = earliest()
  return id and ends - now or -1
end

-- Puts off the expiry of the keys. Without state worth keeping, they expire a day after their last use, or up to
-- KEEP_MS earlier. A semaphore that grew has such state, and keeps it for as long as its ttl says.
local function keep()
  local grown = permits ~= tonumber(ARGV[2])
  if now - kept >= KEEP_MS then
    if not kind then
      kind = ARGV[1]
      redis.call('HSET', state, 'kind', kind, 'initial', ARGV[2], 'permits', ARGV[2])
    end
    kept = now
    redis.call('HSET', state, 'kept', kept)
    if not grown then redis.call('PEXPIRE', state, IDLE_MS) end
    redis.call('PEXPIRE', holders, IDLE_MS)
    redis.call('PEXPIRE', queue, IDLE_MS)
  end
  if grown and ARGV[3] == '' then
    redis.call('PERSIST', state)
  elseif grown then
    redis.call('PEXPIRE', state, math.max(tonumber(ARGV[3]), IDLE_MS))
  end
end
