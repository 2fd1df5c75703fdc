-- Delete a model with all its versions. Keys as in common.lua, and
--
-- KEYS[5] uses      hash: name -> number of uses of the model (use.lua)
-- KEYS[6] deleted   hash: name@version -> record, of versions whose sessions are to be marked
-- ARGV[2] number of uses that the model must have, '' for any
--
-- Returns the digests of the weights that no version refers to any more, 0 if the model has another number of uses, or
-- nil if there is no such model.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return nil
end
if ARGV[2] ~= '' and (redis.call('HGET', KEYS[5], ARGV[1]) or '0') ~= ARGV[2] then
  return 0
end
local unused = {}
local versions = redis.call('HGETALL', KEYS[3])
for index = 1, #versions, 2 do
  local record = versions[index + 1]
  local weights = cjson.decode(record).weights
  redis.call('HSET', KEYS[6], ARGV[1] .. '@' .. versions[index], record)
  if redis.call('HINCRBY', KEYS[4], weights, -1) <= 0 then
    redis.call('HDEL', KEYS[4], weights)
    unused[#unused + 1] = weights
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[3])
return unused
