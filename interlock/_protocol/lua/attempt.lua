-- Every script begins with this file: what an attempt is, which attempts have ended, and how a script wakes a waiter.
--
-- KEYS[1] state    hash of one primitive: kind, clock and what the primitive's own scripts say
-- beside it, for each session, each key with an expiry of its own:
--         <state>:alive:<session>  string: Redis heard the session within ALIVE_MS; without it, the scripts pass over
--                                  the session's waiters
--         <state>:done:<session>   hash: slot -> number and answer of the slot's last ended attempt;
--                                  kept: when a script last put off the expiry, in ms of server time
--
-- An attempt is everything from the first call to the last one with the same id: <session>/<slot>/<number> <label>. For
-- a lock, an attempt goes from an acquire to its release or abandon; for a queue, from a put or a get to its answer.
-- A slot has one attempt at a time, and later attempts have larger numbers. So the slot's last ended attempt tells
-- whether a call that was sent twice, or that arrives late, has been done.
-- Arrivals and tokens are readings of one logical clock: max(last + 1, server time in us). It grows strictly, also when
-- the key is lost, for as long as the server's time does not step back (hybrid logical clocks, Kulkarni et al. 2014).
--
-- Codes returned first (interlock/_protocol/scripts.py has the same list):
--   1 GRANTED, 0 BUSY, 2 QUEUED, 3 DONE, 4 ENDED, -1 LOST, -2 STALE, -3 OTHER_KIND, -4 OTHER_PERMITS, -5 FULL, -6 GONE,
--   -7 BROKEN
local GRANTED, BUSY, QUEUED, DONE, ENDED = 1, 0, 2, 3, 4
local LOST, STALE, OTHER_KIND, OTHER_PERMITS, FULL, GONE, BROKEN = -1, -2, -3, -4, -5, -6, -7
local CLAIM_MS = 1000        -- a grant that its process does not confirm for so long ends: the process counts as dead
local ALIVE_MS = 3500        -- a waiter asks again at least once a second: three of these calls may be lost
local DONE_MS = 600000       -- longer than any client sends a call again
local IDLE_MS = 86400000     -- a day; no lease is longer
-- An hour. The expiry of a lock's keys stays as it is for so long, since to put it off costs a call for each key.
local KEEP_MS = 3600000

local state = KEYS[1]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local noted_lately = {}      -- sessions whose notes last for DONE_MS more without being put off
local clock = 0              -- the last reading; a script that ticks reads it from the state first, and stores it

-- Sets fields of a hash to a list's field, value, ... from `first` on. It does so in parts, since Lua unpacks no more
-- than 8000 elements at once.
local function set_fields(key, list, first)
  for from = first, #list, 2000 do redis.call('HSET', key, unpack(list, from, math.min(from + 1999, #list))) end
end

local function session_of(id) return string.match(id, '^[^/]+') end
local function alive_key(session) return state .. ':alive:' .. session end

-- Returns how the attempt ended: nil if it has not ended, STALE if its slot has ended a later attempt since.
local function done(id)
  local session, slot, number = string.match(id, '^([^/]+)/(%d+)/(%d+)')
  local stored = redis.call('HMGET', state .. ':done:' .. session, slot, 'kept')
  local note = stored[1]
  noted_lately[session] = stored[2] and now - stored[2] < DONE_MS
  if not note then return nil end
  local last, answer = string.match(note, '^(%d+) (-?%d+)$')
  last, number = tonumber(last), tonumber(number)
  if number > last then return nil end
  return number == last and tonumber(answer) or STALE
end

-- All notes of a session expire together, when none of them is younger than DONE_MS. To put the expiry off costs a
-- call: so a note does it for 2 * DONE_MS, and not each time.
local function note_done(id, answer)
  local session, slot, number = string.match(id, '^([^/]+)/(%d+)/(%d+)')
  local key, note = state .. ':done:' .. session, number .. ' ' .. answer
  if noted_lately[session] then
    redis.call('HSET', key, slot, note)
  else
    redis.call('HSET', key, slot, note, 'kept', now)
    redis.call('PEXPIRE', key, 2 * DONE_MS)
    noted_lately[session] = true
  end
end

local function tick()
  clock = math.max(clock + 1, now_us)
  return string.format('%.0f', clock)
end

-- Sends a message to the session of an id. The message is a grant, with the number of other waiters and the values that
-- the waiter wants, or one of these in place of the token:
--   '0'   a waiter wakes, and then asks again
--   '-1'  a process that lingers hears that another waiter is there
--   '-2'  a process that lingers hears that somebody broke the lock
-- Returns how many listeners heard it: 0 if the process is gone.
-- All nodes of a Cluster pass a message on, but PUBLISH counts the listeners of its own node alone. So a session on a
-- Cluster, whose name ends with a C, always counts as one that heard. If its process is gone, a grant to it costs the
-- others a claim.
local function tell(id, token, end_ms, waiting, values)
  local session = session_of(id)
  local channel = string.match(state, '^[^{]*') .. 'session:' .. session
  local heard = redis.pcall('PUBLISH', channel, token .. ' ' .. end_ms .. ' ' .. waiting .. ' ' .. id .. values)
  -- An administrator took the right away: no process hears, and the changes of this script stay whole.
  if type(heard) == 'table' then return 0 end
  return string.sub(session, -1) == 'C' and 1 or heard
end

local function wake(id) return tell(id, '0', '0', '0', '') end
