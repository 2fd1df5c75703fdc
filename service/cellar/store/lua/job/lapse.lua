-- Have the blobs of failed and cancelled jobs deleted that ended some time ago. It has keys of its own.
--
-- KEYS[1] retained  sorted set: members of failed and cancelled jobs -> when they ended, ms
-- KEYS[2] ended     set: members of ended jobs whose blobs are to be deleted
-- ARGV[1] how long the blobs are kept, ms
-- ARGV[2] most members

local before = milliseconds(now_ms() - ARGV[1])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before, 'LIMIT', '0', ARGV[2])) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('SADD', KEYS[2], member)
end
