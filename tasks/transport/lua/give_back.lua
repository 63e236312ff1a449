-- Gives deliveries back, each to the end of its queue that is served first. This counts as no delivery.
-- KEYS: the deliveries, their deadlines, the returns.  ARGV: tokens.
-- One whose queue cannot take it stays a delivery, until its deadline.
for _, token in ipairs(ARGV) do
  local note = redis.call('HGET', KEYS[1], token)
  if note then
    local message, list, wake = read_note(note)
    local reply = redis.pcall('RPUSH', list, message)
    if type(reply) == 'number' then
      wake_up(wake)
      redis.call('HDEL', KEYS[1], token)
      redis.call('ZREM', KEYS[2], token)
    elseif reply.err:find('OOM', 1, true) then
      return reply
    end
  else
    redis.call('ZREM', KEYS[2], token)
  end
end
