-- Set tags and description of a version. Keys as in common.lua, and
--
-- KEYS[5] about     hash of this model: 't<version>' -> tags as a JSON array, 'd<version>' -> description
-- ARGV[2] version
-- ARGV[3] tags; '' leaves them as they are
-- ARGV[4] 1 if the description is set, else 0
-- ARGV[5] description; '' removes it
--
-- Returns {record, tags or nil, description or nil} of the version as it is then, or nil if there is no such version.

local record = redis.call('HGET', KEYS[3], ARGV[2])
if not record then
  return nil
end
local tags, description = 't' .. ARGV[2], 'd' .. ARGV[2]
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[5], tags, ARGV[3])
end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[5], description, ARGV[5])
end
return {record, redis.call('HGET', KEYS[5], tags), redis.call('HGET', KEYS[5], description)}
