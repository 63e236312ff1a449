-- Notes that one item has been worked on. With the last one, everybody who joins is answered: it grows with their number.
-- Safe to send twice: the second time it only answers.
--
-- ARGV[4] id
-- Returns {DONE} | {FULL}: nothing is unfinished | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended then return {ended} end

if unfinished == 0 then
  note_done(id, FULL)
  return {FULL}
end
unfinished = redis.call('HINCRBY', state, 'unfinished', -1)
if unfinished == 0 then
  for _, each in ipairs(redis.call('SMEMBERS', joiners)) do
    note_done(each, DONE)    -- so that it goes on, though items may be put before it asks again
    wake(each)
  end
  redis.call('DEL', joiners)
end
note_done(id, DONE)
keep()
return {DONE}
