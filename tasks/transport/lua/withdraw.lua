-- Removes a message of a batch that no worker has taken yet, and forgets that its id was put.
-- KEYS: the queue, the delayed messages, the set of ids that were put.  ARGV: the message, where it goes, its id.
-- Returns 1, or 0 if the message is gone: a worker has it, or had it.
local found = redis.call('LREM', KEYS[1], -1, ARGV[1]) == 1
if not found then found = redis.call('ZREM', KEYS[2], ARGV[2] .. '\n' .. ARGV[1]) == 1 end
if not found then return 0 end
redis.call('SREM', KEYS[3], ARGV[3])
return 1
