-- What every script of the baton begins with: the state of one Lock or Semaphore, and the hand-over.
--
-- A Lock is a Semaphore with one permit: one algorithm serves both. All its keys share one Cluster hash tag, {name}.
--
-- KEYS[1] state    hash: kind; initial and permits (counts); clock; h:<id> = the holder's token, "?" behind it while claimed
-- KEYS[2] holders  sorted set: id by the end of its lease, in ms of server time
-- KEYS[3] queue    sorted set: waiters' ids by their arrival
-- beside them, per session, each with an expiry of its own:
--         <state>:alive:<session>  string: the session was heard within ALIVE_MS; gone: its waiters are passed over
--         <state>:done:<session>   hash: slot -> number and answer of the slot's last ended attempt
-- ARGV[1] kind     ARGV[2] initial permits     ARGV[3] ttl (ms) of permits added, or '' to keep them for ever
--
-- An attempt is everything from an acquire to its release or abandon, and has one id: <session>/<slot>/<number> <label>.
-- A slot has one attempt at a time, and later ones have larger numbers. So a slot's last ended attempt tells of a call that
-- was sent twice, or that arrives late, whether it has been done.
-- Arrivals and tokens are readings of one logical clock: max(last + 1, server time in us). It grows strictly, also when
-- the key is lost, for as long as the server's time does not step back (hybrid logical clocks, Kulkarni et al. 2014).
--
-- Codes returned first (interlock/_scripts.py has the same list):
--   1 GRANTED, 0 BUSY, 2 QUEUED, 3 DONE, 4 ENDED, -1 LOST, -2 STALE, -3 OTHER_KIND, -4 OTHER_PERMITS, -5 FULL, -6 GONE
local GRANTED, BUSY, QUEUED, DONE, ENDED = 1, 0, 2, 3, 4
local LOST, STALE, OTHER_KIND, OTHER_PERMITS, FULL, GONE = -1, -2, -3, -4, -5, -6
local CLAIM_MS = 1000        -- how long a grant waits to be confirmed before its process counts as dead
local ALIVE_MS = 3500        -- waiters re-ask at least once a second: three may be lost
local DONE_MS = 600000       -- longer than any client goes on sending a call again
local IDLE_MS = 86400000     -- a day; no lease is longer

local state, holders, queue = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local stored = redis.call('HMGET', state, 'kind', 'initial', 'permits', 'clock')
local kind, initial = stored[1], stored[2]
local permits = tonumber(stored[3] or ARGV[2])
local clock = tonumber(stored[4] or '0')

local function session_of(id) return string.match(id, '^[^/]+') end
local function alive_key(session) return state .. ':alive:' .. session end

-- Is this name used for something else?  nil, or the answer to return.
local function mismatch()
  if kind and kind ~= ARGV[1] then return {OTHER_KIND, kind} end
  if initial and initial ~= ARGV[2] then return {OTHER_PERMITS, initial} end
end

-- How the attempt ended: nil if it has not, STALE if its slot has since ended another.
local function done(id)
  local session, slot, number = string.match(id, '^([^/]+)/(%d+)/(%d+)')
  local note = redis.call('HGET', state .. ':done:' .. session, slot)
  if not note then return nil end
  local last, answer = string.match(note, '^(%d+) (-?%d+)$')
  last, number = tonumber(last), tonumber(number)
  if number > last then return nil end
  return number == last and tonumber(answer) or STALE
end

local function note_done(id, answer)
  local session, slot, number = string.match(id, '^([^/]+)/(%d+)/(%d+)')
  local key = state .. ':done:' .. session
  redis.call('HSET', key, slot, number .. ' ' .. answer)
  redis.call('PEXPIRE', key, DONE_MS)
end

local function tick()
  clock = math.max(clock + 1, now_us)
  return string.format('%.0f', clock)
end

local function grant(id, ms, mark)
  local token = tick()
  redis.call('HSET', state, 'clock', token, 'h:' .. id, token .. mark)
  redis.call('ZADD', holders, now + ms, id)
  redis.call('PEXPIRE', holders, IDLE_MS)
  return token
end

local function drop(id)
  redis.call('HDEL', state, 'h:' .. id)
  redis.call('ZREM', holders, id)
end

-- The token of a holder, and whether it is only claimed; nil if the id holds nothing.
local function held(id)
  local value = redis.call('HGET', state, 'h:' .. id)
  if not value then return nil end
  local token, mark = string.match(value, '^(%d+)(%??)$')
  return token, mark == '?'
end

-- Makes what is held, claimed or not, a lease of so many ms from now.
local function renew(id, token, lease)
  redis.call('HSET', state, 'h:' .. id, token)
  redis.call('ZADD', holders, now + lease, id)
end

-- Ends the leases that ran out. A claim that nobody confirmed makes its whole session doubtful.
local function reap()
  while true do
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > now then return end
    local _, claimed = held(first[1])
    if claimed then redis.call('DEL', alive_key(session_of(first[1]))) end
    drop(first[1])
  end
end

-- Hands free permits to the heads of the queue that are alive; the message that wakes a waiter is its grant.
-- Afterwards no permit is free, or nobody waits.
local function advance()
  local free = permits - redis.call('ZCARD', holders)
  while free > 0 do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return end
    redis.call('ZREM', queue, id)
    local session = session_of(id)
    if redis.call('EXISTS', alive_key(session)) == 1 then
      local token = grant(id, CLAIM_MS, '?')
      local message = token .. ' ' .. string.format('%.0f', now + CLAIM_MS) .. ' ' .. id
      if redis.call('PUBLISH', string.match(state, '^[^{]*') .. 'session:' .. session, message) > 0 then
        free = free - 1
      else                   -- nobody listens: it is gone, or will re-ask and get its place back
        drop(id)
      end
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
