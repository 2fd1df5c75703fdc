-- Delete the record of a dataset, if no job needs it besides those that are named.
--
-- KEYS[1] records   hash: name -> record, of one tenant
-- KEYS[2] names     sorted set: the same names
-- KEYS[3] bytes     string: bytes of all datasets of the tenant
-- KEYS[4] pins      hash: job -> since when it needs this dataset
-- KEYS[5] about     hash: name -> its statistics
-- ARGV[1] name
-- ARGV[2] bytes of the dataset
-- ARGV    further: jobs that have ended
--
-- Returns 1, 0 if there is no such dataset, or 2 if another job needs it.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local ended = {}
for index = 3, #ARGV do
  ended[ARGV[index]] = true
end
for _, job in ipairs(redis.call('HKEYS', KEYS[4])) do
  if not ended[job] then
    return 2
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DECRBY', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[4])
redis.call('HDEL', KEYS[5], ARGV[1])
return 1
