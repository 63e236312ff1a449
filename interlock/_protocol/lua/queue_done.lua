-- Notes that the work on one item is done. With the last item, it answers all ids that join: the cost grows with their
-- number. Safe to send twice: the second time it only answers.
--
-- ARGV[4] id
-- Returns {DONE} | {FULL}: no item is unfinished | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
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
    note_done(each, DONE)    -- so that it goes on, even if items are put before it asks again
    wake(each)
  end
  redis.call('DEL', joiners)
end
note_done(id, DONE)
keep()
return {DONE}
