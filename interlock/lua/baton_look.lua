-- Reads who holds and who waits, for people and for statistics. Reads only; grows with what it reports.
--
-- Returns {kind or '', permits, now (server ms), {id, token, end of lease (server ms), ...}, {id, ...}}
local answer = {}
local found = redis.call('ZRANGE', holders, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
  if tonumber(found[i + 1]) > now then
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = held(found[i]) or ''
    answer[#answer + 1] = found[i + 1]
  end
end
return {kind or '', permits, now, answer, redis.call('ZRANGE', queue, 0, -1)}
