-- Remove jobs from their tenant's index whose record has expired; only records of ended jobs expire. It has keys of its
-- own.
--
-- KEYS[1]   index    sorted set: job -> when it was created, s; of one tenant
-- KEYS[2..] records  of the jobs
-- ARGV[1..] jobs, in the order of their records

for index, job in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[index + 1]) == 0 then
    redis.call('ZREM', KEYS[1], job)
  end
end
