-- What every model script begins with. All of them have the same keys, and the name as first argument.
--
-- KEYS[1] newest    hash: name -> newest version (the alias)
-- KEYS[2] highest   hash: name -> highest version ever; it outlives the model, so that a number is never used twice
-- KEYS[3] versions  hash: version -> record, of this model
-- KEYS[4] weights   hash: digest of a weights blob -> how many versions of any tenant refer to it
-- ARGV[1] name

-- Adds a version (record: JSON without the number), moves the alias to it and returns its number.
local function add(record, weights)
  local version = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
  redis.call('HSET', KEYS[3], version, record)
  redis.call('HINCRBY', KEYS[4], weights, 1)
  redis.call('HSET', KEYS[1], ARGV[1], version)
  return version
end
