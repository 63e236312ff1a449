-- Closes one end of a way of a Pipe, for all processes that have it, and wakes all its waiters. The cost grows with
-- their number.
-- The reader can still read what was sent, until the reader's end is closed too. Safe to send twice.
--
-- ARGV[4] 'r': the reader's end, 'w': the writer's
-- Returns {DONE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local part = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
if is_closed(part) then return {DONE} end

closed = closed == '' and part or 'rw'
redis.call('HSET', state, 'closed', closed)
if is_closed('r') then redis.call('DEL', items) end
for _, queue in ipairs({getters, putters}) do
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do wake(id) end
end
keep()
return {DONE}
