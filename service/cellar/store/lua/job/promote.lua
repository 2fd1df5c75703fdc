-- Queue the succeeded job of a trial again, so that its result is published. Keys as in common.lua.
-- ARGV[2] outcome   JSON, which says that it is to be published
-- ARGV[3] time that the caller has to queue it before a sweeper does, ms
--
-- Returns 1, or 0 if it has not succeeded, or has published its result.

if get('state') ~= 'succeeded' or get('result') or not get('outcome') then
  return 0
end
redis.call('HDEL', KEYS[1], 'ended_s')
redis.call('HSET', KEYS[1], 'state', 'queued', 'barren', '0', 'outcome', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'attempt', 1) -- as in retry.lua
for index, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[8], KEYS[9]}) do
  redis.call('PERSIST', key)
end
tell_state()
look(now_ms() + ARGV[3])
return 1
