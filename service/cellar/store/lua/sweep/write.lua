-- Store the next revision of a sweep.
--
-- KEYS[1] record   hash: spec, created_s, document (JSON, all that changes), state, result, error, revision, events
-- KEYS[2] active   set: members of sweeps that have not ended
-- KEYS[3] index    sorted set: sweep -> when it was created, s; of one tenant
-- KEYS[4] events   stream: k kind, d data (JSON)
-- ARGV[1] member   tenant/sweep
-- ARGV[2] sweep
-- ARGV[3] revision that is stored now; 0: there is none
-- ARGV[4] created_s
-- ARGV[5] spec, JSON
-- ARGV[6] state
-- ARGV[7] result, or ''
-- ARGV[8] error, or ''
-- ARGV[9] document, JSON
-- ARGV[10] how long an ended sweep can be read, s
-- ARGV[11...] kind, data (JSON), kind, ...
--
-- Returns 1, or 0 if another revision is stored.

if (redis.call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], 'revision', ARGV[3] + 1, 'created_s', ARGV[4], 'spec', ARGV[5], 'state', ARGV[6])
redis.call('HSET', KEYS[1], 'document', ARGV[9])
for name, value in pairs({result = ARGV[7], error = ARGV[8]}) do
  if value ~= '' then
    redis.call('HSET', KEYS[1], name, value)
  end
end
local born = string.format('%d', ARGV[4] * 1000)
for index = 11, #ARGV, 2 do
  local id = born .. '-' .. redis.call('HINCRBY', KEYS[1], 'events', 1)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', '5000', id, 'k', ARGV[index], 'd', ARGV[index + 1])
end
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
if ARGV[6] == 'running' then
  redis.call('SADD', KEYS[2], ARGV[1])
else
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[10])
  redis.call('EXPIRE', KEYS[4], ARGV[10])
end
return 1
