-- Puts the message of a unique task on a queue, or notes that it is due later, unless another task holds its key.
-- KEYS: the queue, its wake-up list, the delayed messages, the key of the unique task.
-- ARGV: the message, when it is due in ms or '', where it goes, the task's id, how long the key is kept in ms.
-- Returns the id of the task that holds the key: this one's if its message was put, now or by an earlier call.
local holder = redis.call('GET', KEYS[4])
if holder then return holder end
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[3] .. '\n' .. ARGV[1])
else
  redis.call('LPUSH', KEYS[1], ARGV[1])
  wake_up(KEYS[2])
end
redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[5])
return ARGV[4]
