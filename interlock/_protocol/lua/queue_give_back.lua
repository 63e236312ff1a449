-- Ends a get that was interrupted: puts back what it took, first in the queue, for nobody has had it; else leaves.
-- Guarantee: the item is the next one that is taken, and the count of unfinished ones stays as it is.
-- Safe to send twice: the attempt has then ended without an item. A bounded queue may hold one item more for a while.
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
