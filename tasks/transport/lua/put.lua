-- Puts a message on a queue, or notes that it is due later.
-- KEYS: the queue, its wake-up list, the delayed messages.  ARGV: the message, when it is due in ms or '', where it goes.
-- The mark on the wake-up list is that of `wake_up` in shared.lua.
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[3] .. '\n' .. ARGV[1])
  return
end
redis.call('LPUSH', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('LPUSH', KEYS[2], '')
  redis.call('PEXPIRE', KEYS[2], 10000)
end
