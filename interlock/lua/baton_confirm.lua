-- Turns the claim of a waiter that read its grant into a lease. Safe to send twice.
--
-- ARGV[3] id   ARGV[4] token   ARGV[5] lease (ms)
-- Returns {GRANTED, token, end of lease (server ms), now (server ms)} | {LOST}
local id, token = ARGV[3], ARGV[4]
reap()
local holds, claimed = held(id)
if holds ~= token then
  advance()
  return {LOST}
end
if claimed then redis.call('HSET', state, 'h:' .. id, token) end
redis.call('ZADD', holders, now + ARGV[5], id)
return {GRANTED, token, now + ARGV[5], now}
