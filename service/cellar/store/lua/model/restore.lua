-- Add a version of a backup under its own number, unless it is there. Keys as in common.lua, and
--
-- KEYS[5] about      hash: tags and descriptions of this model's versions (describe.lua)
-- ARGV[2] version
-- ARGV[3] record     JSON without the version
-- ARGV[4] tags, '' for none
-- ARGV[5] description, '' for none
--
-- Returns 1, or 0 if there is another version of that number.

local number = tonumber(ARGV[2])
local record = cjson.decode(ARGV[3])
local there = redis.call('HGET', KEYS[3], ARGV[2])
if there then
  return cjson.decode(there).digest == record.digest and 1 or 0
end
if number <= tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') and not redis.call('HGET', KEYS[1], ARGV[1]) then
  return 0  -- the model was deleted: its sessions are marked, and no number is used twice
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('HINCRBY', KEYS[4], record.weights, 1)
for place = 1, 2 do
  if number > tonumber(redis.call('HGET', KEYS[place], ARGV[1]) or '0') then
    redis.call('HSET', KEYS[place], ARGV[1], number)
  end
end
for place, letter in ipairs({'t', 'd'}) do
  if ARGV[3 + place] ~= '' then
    redis.call('HSET', KEYS[5], letter .. ARGV[2], ARGV[3 + place])
  end
end
return 1
