-- Record the digest of a checkpoint that is about to be written. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] digest
--
-- Returns the digest of an earlier one that was never reported, '' if there is none, -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
local spare = get('spare')
redis.call('HSET', KEYS[1], 'spare', ARGV[3])
if not spare or spare == ARGV[3] or spare == get('checkpoint') then
  return ''
end
return spare
