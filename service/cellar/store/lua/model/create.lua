-- Create the first version of a free name, or find the oldest equal version of a taken one. Keys as in common.lua.
--
-- ARGV[2] record    JSON without the version
-- ARGV[3] digest of the weights blob
-- ARGV[4] digest of the version: equal ones have the same
--
-- Returns {version, record, 1 if it was created, 0 if it was found}, or {newest version} if none is equal.

local newest = redis.call('HGET', KEYS[1], ARGV[1])
if not newest then
  return {add(ARGV[2], ARGV[3]), ARGV[2], 1}
end
local found, found_record
local versions = redis.call('HGETALL', KEYS[3])
for index = 1, #versions, 2 do
  local version, record = tonumber(versions[index]), versions[index + 1]
  if cjson.decode(record).digest == ARGV[4] and (not found or version < found) then
    found, found_record = version, record
  end
end
if not found then
  return {tonumber(newest)}
end
return {found, found_record, 0}
