-- List jobs that are due for a look. It has keys of its own.
--
-- KEYS[1] active    sorted set: member of every job that is queued or running -> when to look at it next, ms
-- ARGV[1] at most this many
--
-- Returns members, those that have waited longest first.

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', milliseconds(now_ms()), 'LIMIT', '0', ARGV[1])
