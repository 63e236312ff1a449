-- What the scripts share; it stands before each of them but `put`, whose whole text travels with a batch of messages.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Leaves a mark on a wake-up list: it has one element at most, so it wakes one consumer, and that one wakes the next.
local function wake_up(list)
  if redis.call('EXISTS', list) == 0 then
    redis.call('LPUSH', list, '')
    redis.call('PEXPIRE', list, 10000)
  end
end

-- A note is the text of a delivery or of a delayed message: where the message belongs, as JSON, and behind a line's end
-- the message. Returns the message and what stands before it: list, wake-up list; of a delivery consumer and time, too.
local function read_note(note)
  local split = note:find('\n', 1, true)
  return note:sub(split + 1), unpack(cjson.decode(note:sub(1, split - 1)))
end

-- Frees the key of a unique task whose message becomes a dead letter, if it is still this task's.
local function release(message)
  local read, found = pcall(cjson.decode, message)
  local headers = read and type(found) == 'table' and type(found.headers) == 'table' and found.headers or {}
  local key = headers.unique
  if type(key) ~= 'string' or not key:find('celery-taskset-meta-unique:', 1, true) then return end
  if redis.call('GET', key) == headers.id then redis.call('DEL', key) end
end

-- Keeps a dead letter, and returns how many older ones were dropped.
local function keep_letter(key, letter, most, kept_ms)
  redis.call('LPUSH', key, cjson.encode(letter))
  if letter.message then release(letter.message) end
  local dropped = math.max(0, redis.call('LLEN', key) - most)
  redis.call('LTRIM', key, 0, most - 1)
  redis.call('PEXPIRE', key, kept_ms)
  return dropped
end

