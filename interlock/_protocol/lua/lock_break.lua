-- Ends the leases of all who hold, by hand, and hands over. Who held hears of it with the next renewal, write or release.
-- A claim is left alone: nobody has read it yet, and it lapses by itself.
-- Safe to send twice: the second time it only answers.
--
-- ARGV[4] id of this call
-- Returns {number of leases ended} | {OTHER_KIND, kind} | {OTHER_PERMITS, n}
local call = ARGV[4]
local wrong = mismatch()
if wrong then return wrong end
local answer = done(call)
if answer then return {answer} end
reap()
local broken = 0
for _, id in ipairs(redis.call('ZRANGE', holders, 0, -1)) do
  local _, claimed = held(id)
  if not claimed then
    if lingers(id) then tell(id, '-2', '0', '0', '') end -- else it would enter again without asking
    lose(id)
    broken = broken + 1
  end
end
advance()
note_done(call, broken)
return {broken}
