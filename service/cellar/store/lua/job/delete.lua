-- Delete an ended job, whose blobs are deleted already. Keys as in common.lua, and
--
-- KEYS[10] index   sorted set: job -> when it was created, s; of one tenant
-- ARGV[2] job
--
-- Returns 1, 0 if there is no such job, or 2 if it has not ended.

if not get('state') then
  return 0
end
if open() then
  return 2
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[5], KEYS[8], KEYS[9])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[10], ARGV[2])
return 1
