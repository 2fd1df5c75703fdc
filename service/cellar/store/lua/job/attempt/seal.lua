-- Set what the job will publish; only the first call counts. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] outcome   JSON
--
-- Returns 1, 0 if the job was asked to end before, -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
if get('outcome') then
  return 1
end
if get('cancel_asked_s') then
  return 0
end
redis.call('HSET', KEYS[1], 'outcome', ARGV[3])
return 1
