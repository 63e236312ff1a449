-- Returns the messages of consumers that renew no more, and puts delayed messages that are due on their queues.
-- KEYS: the deliveries, their deadlines, the returns, the delayed messages, the dead letters, the state of the sweeps.
-- ARGV: the consumers' timeout in ms, deliveries at most, messages at most in this call, dead letters at most, how long
-- they are kept in ms.
-- Returns {{name of a consumer, message}, ...}, how many of them are dead letters now, how many older dead letters were
-- dropped, ms until the next delayed message is due (-1: there is none), and errors of queues, whose messages wait.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local timeout, most = tonumber(ARGV[1]), tonumber(ARGV[3])

local errors = {}
local function put(command, list, wake, message)
  local reply = redis.pcall(command, list, message)
  if type(reply) == 'table' then
    errors[#errors + 1] = list .. ': ' .. reply.err
    return false
  end
  redis.pcall('LPUSH', wake, '')
  redis.pcall('LTRIM', wake, 0, 0)
  redis.pcall('PEXPIRE', wake, 10000)
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

local returned, dead, dropped = {}, 0, 0
local overdue = {}
if now >= not_before then overdue = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, most) end
for _, token in ipairs(overdue) do
  local noted = redis.call('HGET', KEYS[1], token)
  local settled = true
  if noted then
    local split = noted:find('\n', 1, true)
    local list, wake, consumer, taken = unpack(cjson.decode(noted:sub(1, split - 1)))
    local message = noted:sub(split + 1)
    local digest = redis.sha1hex(message)
    local returns = cjson.decode(redis.call('HGET', KEYS[3], digest) or '[]')
    returns[#returns + 1] = {consumer, taken, now}
    if #returns >= tonumber(ARGV[2]) then
      redis.call('LPUSH', KEYS[5], cjson.encode({
        reason = #returns .. ' workers vanished that ran it, or no longer renewed it', list = list, wake = wake,
        message = message, deliveries = returns, seconds = now / 1000,
      }))
      dropped = dropped + math.max(0, redis.call('LLEN', KEYS[5]) - ARGV[4])
      redis.call('LTRIM', KEYS[5], 0, ARGV[4] - 1)
      redis.call('PEXPIRE', KEYS[5], ARGV[5])
      redis.call('HDEL', KEYS[3], digest)
      dead = dead + 1
    elseif put('RPUSH', list, wake, message) then
      redis.call('HSET', KEYS[3], digest, cjson.encode(returns))
      redis.call('PEXPIRE', KEYS[3], ARGV[5])
    else
      settled = false
    end
    if settled then
      redis.call('HDEL', KEYS[1], token)
      returned[#returned + 1] = {consumer, message}
    end
  end
  if settled then
    redis.call('ZREM', KEYS[2], token)
  else
    redis.call('ZADD', KEYS[2], now + timeout, token)
  end
end

for _, delayed in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most)) do
  local split = delayed:find('\n', 1, true)
  local known, where = pcall(cjson.decode, delayed:sub(1, (split or 1) - 1))
  if not known or type(where) ~= 'table' or type(where[1]) ~= 'string' or type(where[2]) ~= 'string' then
    redis.call('ZREM', KEYS[4], delayed)
    errors[#errors + 1] = 'no queue, for a delayed entry that was dropped: ' .. delayed:sub(1, 60)
  else
  local list, wake = where[1], where[2]
  if put('LPUSH', list, wake, delayed:sub(split + 1)) then
    redis.call('ZREM', KEYS[4], delayed)
  else
    redis.call('ZADD', KEYS[4], now + timeout, delayed)
  end
  end
end
local next_one = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local left = next_one[2] and math.max(0, math.ceil(next_one[2] - now)) or -1
return {returned, dead, dropped, left, errors}
