-- Delete a version, or a model with all its versions, and their aliases. Keys as in common.lua, and
--
-- KEYS[5] uses      hash: name -> number of uses of the model (use.lua)
-- KEYS[6] deleted   hash: name@version -> record, of versions whose sessions are to be marked
-- KEYS[7] aliases   hash: alias -> 'version moved', of this model
-- KEYS[8] moved     string: when an alias of the tenant was moved or deleted last
-- KEYS[9] about     hash: tags and descriptions of this model's versions (describe.lua)
-- ARGV[2] number of uses that the model must have, '' for any
-- ARGV[3] version, '' for all
-- ARGV[4] present time, ms since the Unix epoch
--
-- Returns the digests of the weights that no version refers to any more, 0 if the model has another number of uses, or
-- nil if there is no such model or version.

local wanted = ARGV[3]
local newest = redis.call('HGET', KEYS[1], ARGV[1])
if not newest or (wanted ~= '' and redis.call('HEXISTS', KEYS[3], wanted) == 0) then
  return nil
end
if ARGV[2] ~= '' and (redis.call('HGET', KEYS[5], ARGV[1]) or '0') ~= ARGV[2] then
  return 0
end
local unused, left = {}, 0
local versions = redis.call('HGETALL', KEYS[3])
for index = 1, #versions, 2 do
  local version, record = versions[index], versions[index + 1]
  if wanted == '' or version == wanted then
    local weights = cjson.decode(record).weights
    redis.call('HSET', KEYS[6], ARGV[1] .. '@' .. version, record)
    if redis.call('HINCRBY', KEYS[4], weights, -1) <= 0 then
      redis.call('HDEL', KEYS[4], weights)
      unused[#unused + 1] = weights
    end
  else
    left = math.max(left, tonumber(version))
  end
end
local aliases = redis.call('HGETALL', KEYS[7])
for index = 1, #aliases, 2 do
  if left == 0 or string.match(aliases[index + 1], '^%d+') == wanted then
    next_move(KEYS[8], ARGV[4])
    redis.call('HDEL', KEYS[7], aliases[index])
  end
end
if left == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[5], ARGV[1])
  redis.call('DEL', KEYS[3])
  redis.call('DEL', KEYS[9])
else
  redis.call('HSET', KEYS[1], ARGV[1], left)
  redis.call('HDEL', KEYS[3], wanted)
  redis.call('HDEL', KEYS[9], 't' .. wanted, 'd' .. wanted)
end
return unused
