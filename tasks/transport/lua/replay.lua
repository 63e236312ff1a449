-- Puts the message of a dead letter on its queue again, or drops the letter. Its earlier deliveries count no more.
-- KEYS: the dead letters, the queue, its wake-up list.  ARGV: the letter, the message or '' to drop it.
-- Returns 1, or 0 if the letter is gone: somebody else was faster.
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then
  redis.call('LPUSH', KEYS[2], ARGV[2])
  wake_up(KEYS[3])
end
return 1
