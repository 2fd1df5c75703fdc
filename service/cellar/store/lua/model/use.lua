-- Count a use of a version, unless the version was deleted.
--
-- KEYS[1] highest   hash: name -> highest version ever; kept after a deletion
-- KEYS[2] versions  hash: version -> record, of this model
-- KEYS[3] uses      hash: name -> number of uses of the model
-- ARGV[1] name
-- ARGV[2] version
--
-- Returns 1, or 0 if the version was deleted.

local highest = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if tonumber(ARGV[2]) <= highest and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  return 0
end
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
