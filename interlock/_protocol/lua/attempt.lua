-- What every script begins with: what an attempt is, what was done before, whom to wake.
--
-- KEYS[1] state    hash of one primitive: kind, clock and what its own scripts say
-- beside it, per session, each with an expiry of its own:
--         <state>:alive:<session>  string: the session was heard within ALIVE_MS; gone: its waiters are passed over
--         <state>:done:<session>   hash: slot -> number and answer of the slot's last ended attempt;
--                                  kept: when its expiry was last put off, in ms of server time
--
-- An attempt is everything from a first call to the last that has its id: <session>/<slot>/<number> <label>. A lock's goes
-- from an acquire to its release or abandon, a queue's from a put to its answer.
-- A slot has one attempt at a time, and later ones have larger numbers. So a slot's last ended attempt tells of a call that
-- was sent twice, or that arrives late, whether it has been done.
-- Arrivals and tokens are readings of one logical clock: max(last + 1, server time in us). It grows strictly, also when
-- the key is lost, for as long as the server's time does not step back (hybrid logical clocks, Kulkarni et al. 2014).
--
-- Codes returned first (interlock/_scripts.py has the same list):
--   1 GRANTED, 0 BUSY, 2 QUEUED, 3 DONE, 4 ENDED, -1 LOST, -2 STALE, -3 OTHER_KIND, -4 OTHER_PERMITS, -5 FULL, -6 GONE,
--   -7 BROKEN
local GRANTED, BUSY, QUEUED, DONE, ENDED = 1, 0, 2, 3, 4
local LOST, STALE, OTHER_KIND, OTHER_PERMITS, FULL, GONE, BROKEN = -1, -2, -3, -4, -5, -6, -7
local CLAIM_MS = 1000        -- how long a grant waits to be confirmed before its process counts as dead
local ALIVE_MS = 3500        -- waiters re-ask at least once a second: three may be lost
local DONE_MS = 600000       -- longer than any client goes on sending a call again
local IDLE_MS = 86400000     -- a day; no lease is longer

local state = KEYS[1]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local noted_lately = {}      -- sessions whose notes outlive DONE_MS without being put off
local clock = 0              -- the last reading: scripts that tick read it from the state first, and store it

-- Sets fields of a hash to a list's field, value, ... from `first` on; in parts: Lua unpacks no more than 8000 at once.
local function set_fields(key, list, first)
  for from = first, #list, 2000 do redis.call('HSET', key, unpack(list, from, math.min(from + 1999, #list))) end
end

local function session_of(id) return string.match(id, '^[^/]+') end
local function alive_key(session) return state .. ':alive:' .. session end

-- How the attempt ended: nil if it has not, STALE if its slot has since ended another.
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

-- A session's notes expire together, when none is younger than DONE_MS. To put that off costs a call: it is done for
-- twice as long, and not each time.
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

-- Sends a message to the session of an id: a grant, with how many others wait and the values that it wants; or '0' to wake
-- a waiter that then asks again, '-1' to tell who lingers that another waits, or '-2' that its lease was ended by hand.
-- How many heard it: 0 if its process is gone.
-- All nodes of a Cluster pass a message on, but PUBLISH counts the listeners of its own node alone: sessions on a Cluster,
-- whose names end with a C, always count as one that heard. Who is gone then costs others a claim.
local function tell(id, token, end_ms, waiting, values)
  local session = session_of(id)
  local channel = string.match(state, '^[^{]*') .. 'session:' .. session
  local heard = redis.pcall('PUBLISH', channel, token .. ' ' .. end_ms .. ' ' .. waiting .. ' ' .. id .. values)
  if type(heard) == 'table' then return 0 end -- the right was taken away: nobody hears, and what was changed stays whole
  return string.sub(session, -1) == 'C' and 1 or heard
end

local function wake(id) return tell(id, '0', '0', '0', '') end
