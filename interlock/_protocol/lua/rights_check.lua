-- Tries each command that our scripts and calls use, as the user that asks, and finds those that the user may not call.
-- This script does not begin with what other scripts share, which would need such rights itself. It leaves no key
-- behind.
-- KEYS[1] a scratch key that nothing else uses   ARGV[1] a channel to which no process listens
-- Returns {command, what Redis said, command, what Redis said, ...} of those that are not allowed
local key, missing = KEYS[1], {}

local function try(...)
  local answer = redis.pcall(...)
  local refusal = type(answer) == 'table' and answer.err
  if not refusal then return true end
  -- A refusal says 'NOPERM', in Redis 6.2 and 7.0 'The user executing the script can't ...', in later ones
  -- 'ACL failure in script: ...'.
  local denied = string.find(refusal, 'NOPERM', 1, true) or string.find(refusal, 'user executing the script', 1, true)
    or string.find(refusal, 'ACL failure', 1, true) or string.find(refusal, 'no permissions', 1, true)
  if not denied then return true end -- a full server or a replica: the calls that follow will say so
  missing[#missing + 1] = string.lower((...))
  missing[#missing + 1] = refusal
  return false
end

try('TIME')
try('PUBLISH', ARGV[1], '')
if not try('DEL', key) then return missing end -- without DEL, the key that comes next would stay behind
for _, command in ipairs({
  -- of a hash
  {'HSET', key, 'f', '1'}, {'HSETNX', key, 'f', '1'}, {'HINCRBY', key, 'f', '0'}, {'HGET', key, 'f'},
  {'HMGET', key, 'f'}, {'HGETALL', key}, {'HEXISTS', key, 'f'}, {'HDEL', key, 'f'}, {'DEL', key},
  -- of a string
  {'SET', key, '1', 'PX', '1000'}, {'GET', key}, {'GETEX', key}, {'PEXPIRE', key, '1000'}, {'PERSIST', key},
  {'TYPE', key}, {'EXISTS', key}, {'DEL', key},
  -- of a list
  {'RPUSH', key, '1'}, {'LPUSH', key, '1'}, {'LLEN', key}, {'LPOP', key}, {'DEL', key},
  -- of a set
  {'SADD', key, '1'}, {'SMEMBERS', key}, {'SREM', key, '1'}, {'DEL', key},
  -- of a sorted set
  {'ZADD', key, '1', '1'}, {'ZCARD', key}, {'ZRANGE', key, '0', '0'}, {'ZRANGEBYSCORE', key, '0', '0'},
  {'ZREVRANGE', key, '0', '0'}, {'ZRANK', key, '1'}, {'ZSCORE', key, '1'}, {'ZPOPMIN', key},
  {'ZREMRANGEBYSCORE', key, '0', '0'}, {'ZREM', key, '1'}, {'DEL', key},
}) do
  try(unpack(command))
end
return missing
