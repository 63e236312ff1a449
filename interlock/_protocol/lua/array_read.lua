-- Reads elements of an array. Reading counts as use: it puts the expiry off.
--
-- KEYS[1] hash, as in array_create.lua
-- ARGV[1] ttl (ms) or ''   ARGV[2] first index   ARGV[3] how many elements
-- Returns the encoded elements, '' for a zero; nothing if the array exists no longer
local array, ttl, first, count = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', array) == 0 then return nil end
if ttl ~= '' then redis.call('PEXPIRE', array, ttl) end
local elements = {}
for from = first, first + count - 1, 1000 do
  local indexes = {}
  for i = from, math.min(from + 999, first + count - 1) do indexes[i - from + 1] = i end
  for _, element in ipairs(redis.call('HMGET', array, unpack(indexes))) do elements[#elements + 1] = element or '' end
end
return elements
