-- Record that all blobs of an ended job are deleted. It has keys of its own.
--
-- KEYS[1] kept   sorted set: members of jobs whose checkpoint is kept -> when this began, ms
-- KEYS[2] sizes  hash: member -> bytes of its checkpoint, 0 once it is to be deleted; '' -> their sum
-- KEYS[3] ended  set: members of ended jobs whose blobs are to be deleted
-- ARGV[1] member

redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
local bytes = redis.call('HGET', KEYS[2], ARGV[1])
if bytes then
  redis.call('HDEL', KEYS[2], ARGV[1])
  if redis.call('HINCRBY', KEYS[2], '', string.format('%d', -bytes)) == 0 then
    redis.call('HDEL', KEYS[2], '')
  end
end
return 1
