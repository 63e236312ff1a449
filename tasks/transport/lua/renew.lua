-- Renews deliveries. One that has gone back to its queue, or is acknowledged, must not come to life again.
-- KEYS: the deadlines.  ARGV: the consumer's timeout in ms; tokens.
-- Returns the tokens that are gone.
local until_ = now_ms() + ARGV[1]
local gone = {}
for number = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', until_, ARGV[number])
  if not redis.call('ZSCORE', KEYS[1], ARGV[number]) then gone[#gone + 1] = ARGV[number] end
end
return gone
