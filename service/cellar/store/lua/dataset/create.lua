-- Store the record of a dataset, unless there is one of that name.
--
-- KEYS[1] records   hash: name -> record, of one tenant
-- KEYS[2] names     sorted set: the same names, all with the score 0
-- KEYS[3] bytes     string: bytes of all datasets of the tenant
-- ARGV[1] name
-- ARGV[2] record
-- ARGV[3] bytes of the dataset
--
-- Returns nil, or the record that has the name.

local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then
  return found
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('INCRBY', KEYS[3], ARGV[3])
return nil
