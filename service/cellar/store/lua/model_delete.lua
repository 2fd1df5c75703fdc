-- Delete a model with all its versions.
--
-- KEYS[1] newest    hash: name -> newest version (the alias)
-- KEYS[2] versions  hash: version -> record, of this model
-- KEYS[3] weights   hash: digest of a weights blob -> how many versions of any tenant refer to it
-- ARGV[1] name
--
-- Returns the digests of the weights that nothing refers to any more, or nil if there is no such model.

if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return nil
end
local unused = {}
for _, record in ipairs(redis.call('HVALS', KEYS[2])) do
  local weights = cjson.decode(record).weights
  if redis.call('HINCRBY', KEYS[3], weights, -1) <= 0 then
    redis.call('HDEL', KEYS[3], weights)
    unused[#unused + 1] = weights
  end
end
redis.call('DEL', KEYS[2])
return unused
