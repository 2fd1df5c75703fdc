-- Store a new API key, or a new form of one.
--
-- KEYS[1] records   hash: id -> record
-- KEYS[2] changes   zset: id, with the revision at which it was changed last
-- KEYS[3] revision  hash: its field `last` is the number of changes so far
-- KEYS[4] tenants   set: tenants that have or had a key, and those whose clients send tokens
-- ARGV[1] id
-- ARGV[2] record
-- ARGV[3] tenant
-- ARGV[4] most keys
--
-- Returns 1, or 0 if there are too many keys.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[3], 'last', 1), ARGV[1])
redis.call('SADD', KEYS[4], ARGV[3])
return 1
