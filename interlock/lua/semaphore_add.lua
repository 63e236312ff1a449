-- Gives back a permit that the releaser does not hold, as threading's semaphores allow: ends the lease that runs out
-- soonest, whose holder has been silent for longest; only if nobody holds one, the count of permits grows.
-- Safe to send twice: the second time it only answers.
--
-- ARGV[3] id of this call   ARGV[4] the most permits there may be, or '' for no bound
-- Returns {DONE} | {FULL}: all permits are free and there may be no more | {STALE} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local id, bound = ARGV[3], tonumber(ARGV[4])
local wrong = mismatch()
if wrong then return wrong end
local answer = done(id)
if answer then return {answer} end

reap()
keep()
answer = DONE
local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')
if first[1] then
  redis.call('SET', state .. ':ended:' .. first[1], 1, 'PX', math.max(1, tonumber(first[2]) - now))
  drop(first[1])
elseif bound and permits >= bound then
  answer = FULL
else
  permits = permits + 1
  redis.call('HSET', state, 'permits', permits)
end
advance()
note_done(id, answer)
keep()
return {answer}
