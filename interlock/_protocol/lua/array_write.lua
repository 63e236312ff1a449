-- Writes elements of an array that no lock guards. Safe to send twice, except that the second copy overwrites what
-- others write in between.
--
-- KEYS[1] hash, as in array_create.lua
-- ARGV[1] ttl (ms) or ''   ARGV[2..] index, encoded element, ...
-- Returns 1, or 0 if the array exists no longer: then nothing was written
local array, ttl = KEYS[1], ARGV[1]
if redis.call('EXISTS', array) == 0 then return 0 end
set_fields(array, ARGV, 2)
if ttl ~= '' then redis.call('PEXPIRE', array, ttl) end
return 1
