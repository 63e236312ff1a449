-- Takes messages off their queues for one consumer, and notes each as its delivery, in the same step.
-- KEYS: the deliveries, their deadlines, the returns; then the lists of all queues, in the order in which they are
-- served; then the wake-up list of each of these lists.
-- ARGV: an id of this request, how many messages at most, the consumer's timeout in ms, its name; 'noted', or another
-- word for messages that need no acknowledgement.
-- Returns {{number of the list, token, message, earlier deliveries}, ...}, {{number of the list, error}, ...}.
local now = now_ms()
local lists = (#KEYS - 3) / 2
local room, taken, failed = tonumber(ARGV[2]), {}, {}
local returned = redis.call('EXISTS', KEYS[3]) == 1
for number = 1, lists do
  local list, wake = KEYS[3 + number], KEYS[3 + lists + number]
  while room > 0 do
    local message = redis.pcall('LINDEX', list, -1)
    if type(message) == 'table' then
      failed[#failed + 1] = {number, message.err}
      break
    end
    if not message then break end
    local token = ARGV[1] .. ':' .. room
    if ARGV[5] == 'noted' then -- first noted, then removed: if Redis has no room for the note, the message stays
      redis.call('HSET', KEYS[1], token, cjson.encode({list, wake, ARGV[4], now}) .. '\n' .. message)
      redis.call('ZADD', KEYS[2], now + ARGV[3], token)
    end
    redis.call('RPOP', list)
    local before = 0
    if returned then
      local returns = redis.call('HGET', KEYS[3], redis.sha1hex(message))
      before = returns and #cjson.decode(returns) or 0
    end
    taken[#taken + 1] = {number, token, message, before}
    room = room - 1
  end
  if room == 0 and redis.call('EXISTS', list) == 1 then wake_up(wake) end
end
return {taken, failed}
