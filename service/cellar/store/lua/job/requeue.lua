-- Queue a job again that is due for a check, unless it has a live lease. Keys as in common.lua.
-- ARGV[2] time that the caller has to queue it before another caller may, ms
--
-- Returns 1 if the caller is to queue it, else 0.

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
if get('state') ~= 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'queued')
  tell_state()
end
look(now + ARGV[2])
return 1
