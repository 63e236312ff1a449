-- Turns the claim of a waiter that read its grant into a lease. Safe to send twice.
--
-- ARGV[4] id   ARGV[5] token   ARGV[6] lease (ms)
-- Returns {DONE} | {LOST}
local id, token = ARGV[4], ARGV[5]
reap()
if held(id) == token then
  renew(id, token, ARGV[6])
  return {DONE}
end
advance()
return {LOST}
