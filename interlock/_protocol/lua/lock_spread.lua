-- Every script that changes a lock has this file before its own: it turns the note of an only holder into what the
-- scripts know (lock_acquire_alone.lua). From here on, the holder is one of possibly several.
if stored[7] then
  local token, ends, id = string.match(stored[7], '^(%d+) (%d+) (.+)$')
  redis.call('HSET', state, 'h:' .. id, token)
  redis.call('ZADD', holders, ends, id)
  redis.call('PEXPIRE', holders, IDLE_MS)
  redis.call('HDEL', state, 'one')
end
