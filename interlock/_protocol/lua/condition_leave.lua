-- Ends the wait for a Condition without a notification: queues the waiter for the lock. If the waiter was notified
-- meanwhile, its state stays as it is. Safe to send twice.
--
-- ARGV[4] id   ARGV[5] name of the Condition
-- Returns {1 if the waiter was notified, else 0, its arrival at the lock's queue, or '' if it holds or was passed over}
local id, name = ARGV[4], ARGV[5]
heard = session_of(id)
note_alive()
reap()
if redis.call('ZREM', state .. ':cond:' .. name, id) == 1 then enqueue(id, arrive()) end
advance()
keep()
local arrival = redis.call('ZSCORE', queue, id)
return {redis.call('HEXISTS', state, 'n:' .. id), arrival and string.format('%.0f', arrival) or ''}
