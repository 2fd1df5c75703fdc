-- Store a queued job. Keys as in common.lua, and
-- KEYS[10] index     sorted set: job -> when it was created, s; of one tenant
-- ARGV[2] job
-- ARGV[3] created_s
-- ARGV[4] spec      JSON
-- ARGV[5] time that the submitter has to queue the job before a sweeper does, ms
--
-- Returns 1, or 0 if there is a job of that name.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'queued', 'attempt', '0', 'created_s', ARGV[3], 'spec', ARGV[4])
redis.call('ZADD', KEYS[10], ARGV[3], ARGV[2])
redis.call('DEL', KEYS[5], KEYS[8], KEYS[9])
tell_state()
look(now_ms() + ARGV[5])
return 1
