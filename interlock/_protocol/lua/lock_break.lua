-- Ends the leases of all holders, by hand, and hands the permits over. A holder learns of it with its next renewal,
-- write or release.
-- It leaves claims alone: no process has read such a grant yet, and a claim ends by itself.
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
    if lingers(id) then tell(id, '-2', '0', '0', '') end -- else the holder would enter again without asking
    lose(id)
    broken = broken + 1
  end
end
advance()
note_done(call, broken)
return {broken}
