-- Store the result of a backtest. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] result
--
-- Returns 1, or -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
redis.call('SET', KEYS[9], ARGV[3])
return 1
