-- lock_release has this file before lock.lua: it ends the lease of an id that holds alone (lock_acquire_alone.lua), that
-- wrote nothing, and for whose lock no id waits. Whatever else is asked, the rest of lock_release answers.
if #KEYS == 3 then
  local token, ends, id = string.match(redis.call('HGET', state, 'one') or '', '^(%d+) (%d+) (.+)$')
  if token == ARGV[5] and id == ARGV[4] and tonumber(ends) > now and not done(id) then
    redis.call('HDEL', state, 'one')
    note_done(id, DONE)
    return {DONE}
  end
end
