-- Give the job back: queued again, and the attempt does not count as one that died. Keys as in common.lua.
-- ARGV[2] attempt
--
-- Returns 1, or -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
redis.call('HSET', KEYS[1], 'state', 'queued', 'lease_ms', '0', 'barren', '0')
tell_state()
look(now_ms())
return 1
