-- Puts messages of a batch on a queue, or notes that they are due later; a message whose id was put before is left out.
-- So a producer that got no answer, or was killed, may put the same messages again.
-- KEYS: the queue, its wake-up list, the delayed messages, the set of ids that were put.
-- ARGV: how long the set is kept in ms; how many messages the queue may have, or ''; when the messages are due in ms, or
-- ''; where they go; then an id and its message, again and again.
-- Returns how many messages are done with, put now or before: the queue has no room for the others; how many are new; how
-- many ids the set has; and how many messages the queue has.
local waiting = redis.call('LLEN', KEYS[1]) -- if the key holds something else, this raises the error before a change
local most = ARGV[2] ~= '' and tonumber(ARGV[2]) or math.huge
local done, new = 0, 0
for number = 5, #ARGV, 2 do
  if redis.call('SISMEMBER', KEYS[4], ARGV[number]) == 0 then
    if ARGV[3] ~= '' then
      redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4] .. '\n' .. ARGV[number + 1])
    elseif waiting < most then
      waiting = redis.call('LPUSH', KEYS[1], ARGV[number + 1])
    else
      break
    end
    redis.call('SADD', KEYS[4], ARGV[number])
    new = new + 1
  end
  done = done + 1
end
redis.call('PEXPIRE', KEYS[4], ARGV[1])
if new > 0 and ARGV[3] == '' then wake_up(KEYS[2]) end
return {done, new, redis.call('SCARD', KEYS[4]), waiting}
