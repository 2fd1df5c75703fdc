-- List jobs that are due for a check. It has keys of its own.
--
-- KEYS[1] active    sorted set: member of every job that is queued or running -> when to check it next, ms
-- ARGV[1] most members to return
--
-- Returns members, those that have waited longest first.

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', milliseconds(now_ms()), 'LIMIT', '0', ARGV[1])
