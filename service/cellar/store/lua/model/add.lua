-- Add a version to a model, or find the version that was added with the same token. Keys as in common.lua, and
--
-- KEYS[5] token     string: version, newline, record
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
local version = add(ARGV[2], ARGV[3])
redis.call('SET', KEYS[5], string.format('%d\n', version) .. ARGV[2], 'EX', ARGV[4])
return {version, ARGV[2]}
