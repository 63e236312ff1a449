-- Makes an array of zeros with some elements set, unless the array exists. Safe to send twice.
--
-- KEYS[1] hash: type = '<type code>:<length>', and by index each element that was ever set: the others are zero
-- ARGV[1] type   ARGV[2] ttl (ms) or ''   ARGV[3..] index, encoded element, ...
-- Returns the type that the array has, or 'value' if the key holds a value and no array
local array, type, ttl = KEYS[1], ARGV[1], ARGV[2]
if redis.call('TYPE', array).ok == 'string' then return 'value' end
if redis.call('HSETNX', array, 'type', type) == 1 then
  set_fields(array, ARGV, 3)
end
local has = redis.call('HGET', array, 'type')
if has == type and ttl ~= '' then redis.call('PEXPIRE', array, ttl) end
return has
