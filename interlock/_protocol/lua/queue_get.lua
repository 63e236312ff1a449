-- Takes the oldest item, or only says that there is one, if there are more items than getters ahead. Else queues the
-- id, once, if it wants to wait. Guarantee: first come, first served. Wakes the putter that now has room.
-- Safe to send twice: an attempt that took an item gets the same item again, and takes no other.
--
-- ARGV[4] id   ARGV[5] 1: wait, 0: only try   ARGV[6] arrival of an id that queued before, or ''
-- ARGV[7] 1: take, 0: only say   ARGV[8] 1: take pickled items too, 0: leave them where they are
-- Returns {DONE, item or ''} | {BUSY}: empty | {QUEUED, arrival} | {ENDED}: empty, and the writer closed its end
--         | {GONE}: the reader closed its own end | {BROKEN}: the next item is pickled
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, maxsize}
local id, wait, arrival, take, pickles = ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7] == '1', ARGV[8] == '1'
local wrong = mismatch()
if wrong then return wrong end
local ended = done(id)
if ended then return answer_of(id, ended) end

-- Ends the attempt without an item.
local function refuse(answer)
  redis.call('HDEL', got_key(id), slot_of(id))
  leave(getters, id)
  note_done(id, answer)
  return {answer}
end

reap()
if is_closed('r') then return refuse(GONE) end
local left = size()
local before, queued = ahead(getters, id, arrival)
if before < left then
  if not take then return refuse(DONE) end
  local item = redis.call('LPOP', items)
  if not pickles and string.sub(item, 1, 1) == 'p' then
    redis.call('LPUSH', items, item)
    keep()
    return refuse(BROKEN)
  end
  if queued then drop(getters, id) end
  redis.call('HSET', got_key(id), slot_of(id), item)
  redis.call('PEXPIRE', got_key(id), DONE_MS)
  note_done(id, DONE)
  if maxsize > 0 then advance(putters) end
  if left == 1 and is_closed('w') then
    for _, each in ipairs(redis.call('ZRANGE', getters, 0, -1)) do wake(each) end
  end
  keep()
  return {DONE, item}
end
if left == 0 and is_closed('w') then return refuse(ENDED) end
if not wait then return refuse(BUSY) end
redis.call('HDEL', got_key(id), slot_of(id))
arrival = enqueue(getters, id)
keep()
return {QUEUED, arrival}
