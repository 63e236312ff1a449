-- Finds how often the message of a task, which a consumer has now, went back to its queue before. Changes nothing.
-- KEYS: the deliveries, the returns.  ARGV: the id of the task.
-- Returns [[consumer, taken in ms, returned in ms], ...] as JSON. None are found of a message that waits in its queue, and
-- of a task whose id JSON writes with escapes. There are no more deliveries than workers run tasks.
if redis.call('EXISTS', KEYS[2]) == 0 then return '[]' end
for _, note in ipairs(redis.call('HVALS', KEYS[1])) do
  if note:find(ARGV[1], 1, true) then
    local message = read_note(note)
    local read, found = pcall(cjson.decode, message)
    if read and type(found) == 'table' and type(found.headers) == 'table' and found.headers.id == ARGV[1] then
      return redis.call('HGET', KEYS[2], redis.sha1hex(message)) or '[]'
    end
  end
end
return '[]'
