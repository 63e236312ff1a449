-- Moves waiters of a Condition to the queue of its lock, in order of arrival: no waiter wakes only to queue again.
-- Guarantee: only the holder can notify. Safe to send twice: the second time it only answers.
--
-- ARGV[4] id of the holder   ARGV[5] its token   ARGV[6] id of this call   ARGV[7] name   ARGV[8] how many; -1: all
-- Returns {DONE} | {LOST}: the id does not hold under this token any more, and no waiter is notified | {STALE}
local id, token, call, name, n = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local answer = done(call)
if answer then return {answer} end
reap()
answer = held(id) == token and DONE or LOST
if answer == DONE then
  while n ~= 0 and notify(name) do n = n - 1 end
end
advance()
note_done(call, answer)
keep()
return {answer}
