-- lock_acquire has this file before lock.lua: it grants a lock that no id holds, that no id waits for, and whose keys need
-- not be kept for longer. It notes the only holder in one field of the state, and makes no key for it; lock_spread.lua
-- turns the field into what the other scripts know. Whatever else is asked, the rest of lock_acquire answers.
--
-- KEYS[1] state    one = '<token> <end of the lease, server ms> <id>': the only holder
if (ARGV[1] == 'Lock' or ARGV[1] == 'RLock') and ARGV[7] == '' and ARGV[8] == '' then
  local id, lease_ms = ARGV[4], tonumber(ARGV[5])
  local stored = redis.call('HMGET', state, 'kind', 'initial', 'permits', 'clock', 'kept', 'one')
  if
    stored[1] == ARGV[1] and stored[2] == ARGV[2] and stored[3] == '1' and not stored[6]
    and now - tonumber(stored[5] or '0') < KEEP_MS and lease_ms <= IDLE_MS - KEEP_MS
    and not string.find(id, '^[^/]+/%d+/%d+l') -- it does not linger
    and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 and not done(id)
  then
    clock = tonumber(stored[4] or '0')
    local token, ends = tick(), now + lease_ms
    redis.call('HSET', state, 'clock', token, 'one', token .. ' ' .. ends .. ' ' .. id)
    return {GRANTED, token, ends, now, ''}
  end
end
