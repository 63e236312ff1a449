-- Removes a message of a batch that no worker has taken yet. Its id still counts as put: so a producer that sends its
-- chunk again does not bring it back.
-- KEYS: the queue, the delayed messages.  ARGV: the message, where it goes.
-- Returns 1, or 0 if the message is gone: a worker has it, or had it.
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 1 then return 1 end
return redis.call('ZREM', KEYS[2], ARGV[2] .. '\n' .. ARGV[1])
