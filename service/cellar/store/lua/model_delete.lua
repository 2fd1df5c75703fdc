-- Delete a model with all its versions. Keys as in model.lua.
--
-- Returns the digests of the weights that nothing refers to any more, or nil if there is no such model.

if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return nil
end
local unused = {}
for _, record in ipairs(redis.call('HVALS', KEYS[3])) do
  local weights = cjson.decode(record).weights
  if redis.call('HINCRBY', KEYS[4], weights, -1) <= 0 then
    redis.call('HDEL', KEYS[4], weights)
    unused[#unused + 1] = weights
  end
end
redis.call('DEL', KEYS[3])
return unused
