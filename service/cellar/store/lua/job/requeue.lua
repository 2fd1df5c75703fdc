-- Take up a job that is due for a look. Keys as in common.lua.
-- ARGV[2] how long the caller has to queue it before another looks, ms
--
-- Returns 1 if nobody holds it (it is queued again), else 0.

local now = now_ms()
if not open() then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
local due = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or '0')
if due > now then
  return 0
end
if leased(now) then
  look(get('lease_ms'))
  return 0
end
if get('cancel_asked_s') and not get('outcome') then
  close(now, 'cancelled', '', '')
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'queued')
look(now + ARGV[2])
return 1
