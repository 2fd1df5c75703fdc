-- Keep the last checkpoint of a succeeded job, of a bounded number of bytes in all. It has keys of its own.
--
-- KEYS[1] kept   sorted set: members of jobs whose checkpoint is kept -> when this began, ms
-- KEYS[2] sizes  hash: member -> bytes of its checkpoint, 0 once it is to be deleted; '' -> their sum
-- KEYS[3] ended  set: members of ended jobs whose blobs are to be deleted
-- ARGV[1] member
-- ARGV[2] bytes of its checkpoint
-- ARGV[3] most bytes of all; the oldest are deleted first
--
-- Returns 1 if it is kept, 0 if it is to be deleted now.

if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 or tonumber(ARGV[2]) > tonumber(ARGV[3]) then
    return 0 -- it was kept until now, or is too large
  end
  redis.call('ZADD', KEYS[1], milliseconds(now_ms()), ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  local sum = redis.call('HINCRBY', KEYS[2], '', ARGV[2])
  while sum > tonumber(ARGV[3]) do
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
    sum = redis.call('HINCRBY', KEYS[2], '', string.format('%d', -redis.call('HGET', KEYS[2], oldest)))
    redis.call('HSET', KEYS[2], oldest, '0')
    redis.call('ZREM', KEYS[1], oldest)
    redis.call('SADD', KEYS[3], oldest)
  end
end
redis.call('SREM', KEYS[3], ARGV[1])
return 1
