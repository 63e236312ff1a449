-- Gives deliveries back, each to the end of its queue that is served first. This counts as no delivery.
-- KEYS: the deliveries, their deadlines.  ARGV: tokens.
-- One whose queue cannot take it stays a delivery, until its deadline.
for _, token in ipairs(ARGV) do
  local noted = redis.call('HGET', KEYS[1], token)
  if noted then
    local split = noted:find('\n', 1, true)
    local list, wake = unpack(cjson.decode(noted:sub(1, split - 1)))
    local reply = redis.pcall('RPUSH', list, noted:sub(split + 1))
    if type(reply) == 'number' then
      redis.pcall('LPUSH', wake, '')
      redis.pcall('LTRIM', wake, 0, 0)
      redis.pcall('PEXPIRE', wake, 10000)
      redis.call('HDEL', KEYS[1], token)
      redis.call('ZREM', KEYS[2], token)
    elseif reply.err:find('OOM', 1, true) then
      return reply
    end
  else
    redis.call('ZREM', KEYS[2], token)
  end
end
