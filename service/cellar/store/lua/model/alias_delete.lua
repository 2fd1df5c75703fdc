-- Delete an alias. Keys as in common.lua, and
--
-- KEYS[5] aliases   hash: alias -> 'version moved', of this model
-- KEYS[6] moved     string: when an alias of the tenant was moved or deleted last
-- ARGV[2] alias
-- ARGV[3] version that the alias must have now; '' for any
-- ARGV[4] present time, ms since the Unix epoch
--
-- Returns 0 if it is deleted, else its present version, or nil if there is no such alias.

local found = redis.call('HGET', KEYS[5], ARGV[2])
if not found then
  return nil
end
local version = string.match(found, '^%d+')
if ARGV[3] ~= '' and ARGV[3] ~= version then
  return tonumber(version)
end
next_move(KEYS[6], ARGV[4])
redis.call('HDEL', KEYS[5], ARGV[2])
return 0
