-- Turns a claim into a lease, for a waiter that has read its grant. Safe to send twice.
--
-- ARGV[4] id   ARGV[5] token   ARGV[6] lease (ms)
-- Returns {DONE} | {LOST}
local id, token = ARGV[4], ARGV[5]
reap()
local current, claimed = held(id)
if current == token then
  renew(id, token, claimed, tonumber(ARGV[6]))
  keep()
  return {DONE}
end
advance()
return {LOST}
