-- Ends a get that was interrupted. If the get took an item, this makes it the first in the queue again, since no caller
-- has had it. Else the id leaves the queue.
-- Guarantee: that item is the next one that is taken, and the count of unfinished items stays as it is.
-- Safe to send twice: at the second time the attempt has ended without an item. A bounded queue may hold one item more
-- for a while.
--
-- ARGV[4] id
-- Returns {BUSY} | another answer of that attempt, without an item | {STALE} | {OTHER_KIND, kind}
--         | {OTHER_PERMITS, maxsize}
local id = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended and ended ~= DONE then return {ended} end

if ended == DONE then
  local item = redis.call('HGET', got_key(id), slot_of(id))
  if item then
    redis.call('LPUSH', items, item)
    redis.call('HDEL', got_key(id), slot_of(id))
    keep()
  end
else
  leave(getters, id)
end
note_done(id, BUSY)
if ended then advance(getters) end
return {BUSY}
