-- Queue a failed or cancelled job again. Keys as in common.lua.
-- ARGV[2] time that the caller has to queue it before a sweeper does, ms
--
-- Returns 1, 0 if there is no such job, 2 if it has not ended, 3 if it has succeeded, or 4 if its blobs are deleted.

local state = get('state')
if not state then
  return 0
end
if open() then
  return 2
end
if state == 'succeeded' then
  return 3
end
if redis.call('ZREM', KEYS[6], ARGV[1]) == 0 then
  return 4
end
redis.call('HDEL', KEYS[1], 'ended_s', 'error', 'cancel_asked_s', 'outcome', 'death')
redis.call('HSET', KEYS[1], 'state', 'queued', 'barren', '0')
redis.call('HINCRBY', KEYS[1], 'attempt', 1) -- a process of the last attempt that still runs may write nothing
for index, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[8], KEYS[9]}) do
  redis.call('PERSIST', key)
end
tell_state()
look(now_ms() + ARGV[2])
return 1
