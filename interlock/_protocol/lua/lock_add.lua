-- Adds to a value that a lock guards, without that lock, also while another process holds it.
-- Guarantee: what the holder writes replaces what it has read, never what others added meanwhile. Safe to send twice.
--
-- A value's text is its base, as the last holder to write it left it. If a caller has added since, three words follow:
--   <sum of what was added before> <token of the holder, or 0> <sum of what was added while that holder held>
-- where '-' means nothing. A holder reads the base and the first sum; its write leaves the last sum (`store` in
-- lock.lua). Once it holds no longer, everything counts. Lua has no integers of 64 bits, so a sum is 16 hexadecimal
-- digits, modulo 2^64.
--
-- KEYS[4] the value
-- ARGV[4] id of this call   ARGV[5] 16 hexadecimal digits; for a float type, a decimal number   ARGV[6] ttl (ms) or ''
-- Returns {DONE} | {GONE}: the value exists no longer | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local value, call, step, ttl = KEYS[4], ARGV[4], ARGV[5], ARGV[6]
local wrong = mismatch()
if wrong then return wrong end
local answer = done(call)
if answer then return {answer} end
local text = redis.pcall('GET', value)
if type(text) ~= 'string' then return {GONE} end

local function plus(a, b)
  if a == '-' or b == '-' then return a == '-' and b or a end
  if string.find(text, '^[fd]') then return string.format('%.17g', tonumber(a) + tonumber(b)) end
  local low = tonumber(string.sub(a, 9), 16) + tonumber(string.sub(b, 9), 16)
  local high = tonumber(string.sub(a, 1, 8), 16) + tonumber(string.sub(b, 1, 8), 16) + math.floor(low / 2 ^ 32)
  return string.format('%08x%08x', high % 2 ^ 32, low % 2 ^ 32)
end

reap()
local holder = earliest()
local token = holder and held(holder) or '0'
local base, before, by, since = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
if not base then base, before, by, since = text, '-', token, '-' end
if by ~= token then before, since = plus(before, since), '-' end
text = table.concat({base, before, token, plus(since, step)}, ' ')
if ttl == '' then redis.call('SET', value, text, 'KEEPTTL') else redis.call('SET', value, text, 'PX', ttl) end
note_done(call, DONE)
ask_back()                   -- a holder that lingers would not see the addition
return {DONE}
