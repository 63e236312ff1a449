-- Returns the messages of consumers that renew no more, and puts delayed messages that are due on their queues.
-- KEYS: the deliveries, their deadlines, the returns, the delayed messages, the dead letters, the state of the sweeps.
-- ARGV: the consumers' timeout in ms, deliveries at most, messages at most in this call, dead letters at most, how long
-- they are kept in ms.
-- Returns {{name of a consumer, message}, ...}, how many of them are dead letters now, how many older dead letters were
-- dropped, ms until the next delayed message is due (-1: there is none), and errors of queues, whose messages wait.
local now, timeout, most = now_ms(), tonumber(ARGV[1]), tonumber(ARGV[3])
local returned, dead, dropped, errors = {}, 0, 0, {}

-- Puts a message on its queue, and returns whether that can be used.
local function put(command, list, wake, message)
  local reply = redis.pcall(command, list, message)
  if type(reply) == 'table' then
    errors[#errors + 1] = list .. ': ' .. reply.err
    return false
  end
  wake_up(wake)
  return true
end

-- Returns the message of an overdue delivery to its queue, or makes it a dead letter; returns whether that succeeded.
local function restore(note)
  local message, list, wake, consumer, taken = read_note(note)
  local digest = redis.sha1hex(message)
  local returns = cjson.decode(redis.call('HGET', KEYS[3], digest) or '[]')
  returns[#returns + 1] = {consumer, taken, now}
  if #returns >= tonumber(ARGV[2]) then
    dropped = dropped + keep_letter(KEYS[5], {
      reason = #returns .. ' workers vanished that ran it, or no longer renewed it', list = list, wake = wake,
      message = message, deliveries = returns, seconds = now / 1000,
    }, ARGV[4], ARGV[5])
    redis.call('HDEL', KEYS[3], digest)
    dead = dead + 1
  elseif put('RPUSH', list, wake, message) then
    redis.call('HSET', KEYS[3], digest, cjson.encode(returns))
    redis.call('PEXPIRE', KEYS[3], ARGV[5])
  else
    return false
  end
  returned[#returned + 1] = {consumer, message}
  return true
end

-- Puts a delayed message that is due on its queue; returns whether it need be kept no more.
local function move(note)
  local known, message, list, wake = pcall(read_note, note)
  if known and type(list) == 'string' and type(wake) == 'string' then return put('LPUSH', list, wake, message) end
  errors[#errors + 1] = 'no queue, for a delayed entry that was dropped: ' .. note:sub(1, 60)
  return true
end

-- When nobody has swept for a while, Redis was away, or its clock has jumped. Consumers that live then get the time to
-- renew, before their messages count as abandoned.
local last = tonumber(redis.call('HGET', KEYS[6], 'last') or now)
if math.abs(now - last) > math.max(timeout / 6, 3000) then redis.call('HSET', KEYS[6], 'not before', now + timeout / 3) end
redis.call('HSET', KEYS[6], 'last', now)
local not_before = tonumber(redis.call('HGET', KEYS[6], 'not before') or 0)
if not_before > now + timeout / 3 then -- the clock has jumped back
  not_before = now + timeout / 3
  redis.call('HSET', KEYS[6], 'not before', not_before)
end
for _, token in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now + timeout + 1000, '+inf', 'LIMIT', 0, most)) do
  redis.call('ZADD', KEYS[2], now + timeout, token) -- as above: nothing may be due later than this
end

local overdue = {}
if now >= not_before then overdue = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, most) end
for _, token in ipairs(overdue) do
  local note = redis.call('HGET', KEYS[1], token)
  if not note or restore(note) then
    redis.call('HDEL', KEYS[1], token)
    redis.call('ZREM', KEYS[2], token)
  else
    redis.call('ZADD', KEYS[2], now + timeout, token)
  end
end
for _, note in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most)) do
  if move(note) then
    redis.call('ZREM', KEYS[4], note)
  else
    redis.call('ZADD', KEYS[4], now + timeout, note)
  end
end
local next_one = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local left = next_one[2] and math.max(0, math.ceil(next_one[2] - now)) or -1
return {returned, dead, dropped, left, errors}
