-- Replace the record of a deletion of many sessions if it has the expected number.
--
-- KEYS[1]  hash  the record: n its number, j the record as JSON
-- KEYS[2]  set   the deletions that have not ended
--
-- ARGV[1]  expected number; '' for a new deletion
-- ARGV[2]  number
-- ARGV[3]  record
-- ARGV[4]  name of the deletion
-- ARGV[5]  lifetime of the record of a deletion that has ended, ms; 0: it has not ended
--
-- Returns the record as it is then.

local found = redis.call('HMGET', KEYS[1], 'n', 'j')
if (found[1] or '') ~= ARGV[1] then
  return found[2] or ''
end
redis.call('HSET', KEYS[1], 'n', ARGV[2], 'j', ARGV[3])
if ARGV[5] == '0' then
  redis.call('SADD', KEYS[2], ARGV[4])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('SREM', KEYS[2], ARGV[4])
end
return ARGV[3]
