-- Extend the lease; 0 ends it. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] lease, ms
-- ARGV[4] how the process of the attempt died; absent while it lives
--
-- Returns 1, 0 if the job was asked to end, -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
local until_ms = now_ms() + ARGV[3]
redis.call('HSET', KEYS[1], 'state', 'running', 'lease_ms', milliseconds(until_ms))
look(until_ms)
if ARGV[4] then
  redis.call('HSET', KEYS[1], 'death', ARGV[4])
end
return get('cancel_asked_s') and 0 or 1
