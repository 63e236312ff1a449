-- Counts the messages that are running, delayed and dead by the list of their queue. Changes nothing, and sends none.
-- KEYS: the deliveries, the delayed messages, the dead letters.
-- ARGV: how many delayed messages to read at most, those that are due next. There are no more deliveries than workers
-- run tasks, and a thousand dead letters.
-- Returns {{list, number, list, number, ...} for each of the three, how many delayed messages were not read}.
local function counted(notes, list_of)
  local counts, flat = {}, {}
  for _, note in ipairs(notes) do
    local known, list = pcall(list_of, note)
    if not known or type(list) ~= 'string' then list = '' end
    counts[list] = (counts[list] or 0) + 1
  end
  for list, number in pairs(counts) do
    flat[#flat + 1] = list
    flat[#flat + 1] = number
  end
  return flat
end

local function list_of_note(note) return cjson.decode(note:sub(1, note:find('\n', 1, true) - 1))[1] end
local function list_of_letter(letter) return cjson.decode(letter).list end

local most = tonumber(ARGV[1])
local delayed = redis.call('ZRANGE', KEYS[2], 0, most - 1)
return {
  counted(redis.call('HVALS', KEYS[1]), list_of_note), counted(delayed, list_of_note),
  counted(redis.call('LRANGE', KEYS[3], 0, -1), list_of_letter), redis.call('ZCARD', KEYS[2]) - #delayed,
}
