-- Add a version to a model and move the alias to it, or find the version that the same token made before.
--
-- KEYS[1] newest    hash: name -> newest version (the alias)
-- KEYS[2] highest   hash: name -> highest version ever; it outlives the model, so that a number is never used twice
-- KEYS[3] versions  hash: version -> record, of this model
-- KEYS[4] weights   hash: digest of a weights blob -> how many versions of any tenant refer to it
-- KEYS[5] token     string: version, newline, record
-- ARGV[1] name
-- ARGV[2] record    JSON without the version
-- ARGV[3] digest of the weights blob
-- ARGV[4] how long the token is kept, seconds
--
-- Returns {version, record}.

local made = redis.call('GET', KEYS[5])
if made then
  local cut = string.find(made, '\n', 1, true)
  return {tonumber(string.sub(made, 1, cut - 1)), string.sub(made, cut + 1)}
end
local version = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
redis.call('HSET', KEYS[3], version, ARGV[2])
redis.call('HINCRBY', KEYS[4], ARGV[3], 1)
redis.call('HSET', KEYS[1], ARGV[1], version)
redis.call('SET', KEYS[5], string.format('%d\n', version) .. ARGV[2], 'EX', ARGV[4])
return {version, ARGV[2]}
