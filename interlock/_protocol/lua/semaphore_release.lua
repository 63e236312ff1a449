-- Gives n permits back: first those that the releaser holds, and then, as threading's semaphores allow, others. For
-- each of the others it ends the lease that runs out soonest, since that holder has been silent for longest. The count
-- of permits grows only if no id holds a permit. All or nothing. Safe to send twice: the second time it only answers.
-- If there are no leases, it ends a claim. The waiter of that claim has acquired all the same, though it may not have
-- heard of it: if it asks again, a script tells it so. It is as if the waiter released the permit as soon as it took
-- it.
-- ARGV[4] id of this call   ARGV[5] n   ARGV[6] the most permits that may be free, or '' for no bound
-- ARGV[7..]  for each permit held: id, token; at most n
-- Returns {DONE} | {LOST}: one of these leases was over, the others are released | {FULL}: nothing changed
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local call, n, bound = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

-- Returns the id whose lease ends first; if there is no lease, the id whose claim ends first. Claims are few, since
-- they last for a second.
local function to_be_ended()
  local rank = 0
  while true do
    local id = redis.call('ZRANGE', holders, rank, rank)[1]
    if not id then return (earliest()) end
    local _, claimed = held(id)
    if not claimed then return id end
    rank = rank + 1
  end
end

local wrong = mismatch()
if wrong then return wrong end
local answer = done(call)
if answer then return {answer} end

reap()
answer = DONE
local own = {}
for i = 7, #ARGV, 2 do
  if held(ARGV[i]) == ARGV[i + 1] then
    own[#own + 1] = ARGV[i]
  else
    local ended = done(ARGV[i])
    if ended ~= DONE and ended ~= ENDED then answer = LOST end -- the permit has gone back by itself
    if not ended then lose(ARGV[i]) end
    if ended ~= ENDED then n = n - 1 end                       -- with DONE, an earlier call did it
  end
end
if bound and permits - redis.call('ZCARD', holders) + n > bound then
  note_done(call, FULL)
  return {FULL}
end
for _, id in ipairs(own) do drop(id) end
for i = 7, #ARGV, 2 do
  if not done(ARGV[i]) then note_done(ARGV[i], DONE) end
end
for _ = #own + 1, n do
  local id = to_be_ended()
  if id then
    drop(id)
    note_done(id, ENDED)     -- its holder learns of it with its next beat or release
  else
    permits = permits + 1
  end
end
advance()
note_done(call, answer)
keep()
redis.call('HSET', state, 'permits', permits)
return {answer}
