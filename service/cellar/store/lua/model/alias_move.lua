-- Let an alias name a version of its model. Keys as in common.lua, and
--
-- KEYS[5] aliases   hash: alias -> 'version moved', of this model
-- KEYS[6] moved     string: when an alias of the tenant was moved or deleted last
-- KEYS[7] uses      hash: name -> number of uses of the model (use.lua)
-- ARGV[2] alias
-- ARGV[3] version
-- ARGV[4] version that the alias must have now, 0 if it must be new; '' for any
-- ARGV[5] present time, ms since the Unix epoch
-- ARGV[6] most aliases of a model
--
-- An alias that has the version already stays as it is. Returns
--   {'unknown'}  there is no such version
--   {'other', present version or 0}
--   {'full'}
--   {'moved', its version and when it was moved as stored, version before or 0}
--
-- A move counts as a use: a deletion that has seen the version without this alias begins again.

if redis.call('HEXISTS', KEYS[3], ARGV[3]) == 0 then
  return {'unknown'}
end
local found = redis.call('HGET', KEYS[5], ARGV[2])
local before = found and string.match(found, '^%d+') or '0'
if before == ARGV[3] then
  return {'moved', found, tonumber(before)}
end
if ARGV[4] ~= '' and ARGV[4] ~= before then
  return {'other', tonumber(before)}
end
if not found and redis.call('HLEN', KEYS[5]) >= tonumber(ARGV[6]) then
  return {'full'}
end
local alias = ARGV[3] .. ' ' .. next_move(KEYS[6], ARGV[5])
redis.call('HSET', KEYS[5], ARGV[2], alias)
redis.call('HINCRBY', KEYS[7], ARGV[1], 1)
return {'moved', alias, tonumber(before)}
