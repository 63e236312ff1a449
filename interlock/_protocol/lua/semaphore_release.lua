-- Gives n permits back: those that the releaser holds, and then, as threading's semaphores allow, others. For each of
-- these it ends the lease that runs out soonest, whose holder has been silent for longest; only if nobody holds one, the
-- count of permits grows. All or nothing. Safe to send twice: the second time it only answers.
-- A claim is ended if there are no leases. Its waiter has acquired all the same, though it may not have heard of it: asks
-- it again, it is told so; and it is as if the permit was released as soon as it was taken.
--
-- ARGV[4] id of this call   ARGV[5] n   ARGV[6] the most permits that may be free, or '' for no bound
-- ARGV[7..]  for each permit held: id, token; at most n
-- Returns {DONE} | {LOST}: a lease of these was over, the others are released | {FULL}: nothing changed
--         | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local call, n, bound = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

-- The lease that ends first; if there is none, the claim that does. Claims are few: they last for a second.
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
    if ended ~= DONE and ended ~= ENDED then answer = LOST end -- it has gone back by itself
    if not ended then lose(ARGV[i]) end
    if ended ~= ENDED then n = n - 1 end                       -- DONE: by an earlier call that got no answer
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
    note_done(id, ENDED)     -- its holder hears of it with its next beat or release
  else
    permits = permits + 1
  end
end
advance()
note_done(call, answer)
keep()
redis.call('HSET', state, 'permits', permits)
return {answer}
