-- Appends an item if there is room and no putter ahead waits for it. Else queues the id, once, if it wants to wait.
-- Guarantee: first come, first served; never more items than maxsize. Wakes the getter that the item is for.
-- Safe to send twice: the second time it only answers.
--
-- ARGV[4] id   ARGV[5] 1: wait, 0: only try   ARGV[6] arrival of an id that queued before, or ''   ARGV[7] encoded item
-- Returns {DONE} | {BUSY}: full | {QUEUED, arrival} | {BROKEN}: the reader closed its end
--         | {GONE}: the writer closed its own end | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local id, wait, arrival, item = ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended then return {ended} end

reap()
if closed ~= '' then
  local answer = is_closed('w') and GONE or BROKEN
  leave(putters, id)
  note_done(id, answer)
  return {answer}
end
local before, queued = 0, false
if maxsize > 0 then before, queued = ahead(putters, id, arrival) end
if maxsize == 0 or before < maxsize - size() then
  redis.call('RPUSH', items, item)
  if queued then drop(putters, id) end
  if ARGV[1] == 'JoinableQueue' then
    unfinished = redis.call('HINCRBY', state, 'unfinished', 1)
  end
  note_done(id, DONE)
  advance(getters)
  keep()
  return {DONE}
end
if not wait then
  note_done(id, BUSY)
  return {BUSY}
end
arrival = enqueue(putters, id)
keep()
return {QUEUED, arrival}
