-- Acknowledges deliveries: each is removed, if it is still its consumer's.
-- KEYS: the deliveries, their deadlines, the returns.  ARGV: tokens.
-- Returns the tokens that are gone: these messages had gone back to their queue.
local gone = {}
local returned = redis.call('EXISTS', KEYS[3]) == 1
for _, token in ipairs(ARGV) do
  if returned then
    local note = redis.call('HGET', KEYS[1], token)
    if note then redis.call('HDEL', KEYS[3], redis.sha1hex((read_note(note)))) end
  end
  if redis.call('HDEL', KEYS[1], token) == 0 then gone[#gone + 1] = token end
  redis.call('ZREM', KEYS[2], token)
end
return gone
