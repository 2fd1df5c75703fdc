-- List jobs that are due for a look.
--
-- KEYS[1] active    sorted set: member of every job that is queued or running -> when to look at it next, ms
-- ARGV[1] at most this many
--
-- Returns members, those that have waited longest first.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now), 'LIMIT', '0', ARGV[1])
