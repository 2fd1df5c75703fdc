-- What every job script begins with. All but due.lua and forget.lua have these keys, and the job's member as first
-- argument.
--
-- KEYS[1] record    hash: state, attempt, spec, created_s, started_s, ended_s, progress, result, error, checkpoint,
--                   spare, cancel_asked_s, outcome; lease_ms (when the lease ends), barren (attempts since the
--                   newest checkpoint), death (what the process of the newest attempt died of, if that is known)
-- KEYS[2] history   hash: epoch -> what is kept of it
-- KEYS[3] active    sorted set: member of every job that is queued or running -> when to look at it next, ms
-- KEYS[4] ended     set: members of ended jobs whose blobs are still there
-- ARGV[1] member    tenant/job
--
-- Times are the server's own, so that hosts with different clocks agree on who holds a lease.

local SUPERSEDED = -1
local KEEP_S = 30 * 24 * 3600 -- how long an ended job can be read

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function seconds(ms)
  return string.format('%.3f', ms / 1000)
end

local function milliseconds(ms)
  return string.format('%d', ms)
end

local function get(name)
  return redis.call('HGET', KEYS[1], name)
end

-- Whether the job has not ended.
local function open()
  local state = get('state')
  return state == 'queued' or state == 'running'
end

-- Whether this attempt is the newest one of a job that has not ended; its lease may have run out, if nobody took it.
local function mine(attempt)
  return open() and get('attempt') == attempt
end

local function leased(now)
  return tonumber(get('lease_ms') or '0') > now
end

-- Look at the job at that time, unless it ends before.
local function look(at)
  redis.call('ZADD', KEYS[3], milliseconds(at), ARGV[1])
end

-- End the job: the record stays for a while, its blobs wait to be cleared away.
local function close(now, state, name, value)
  redis.call('HSET', KEYS[1], 'state', state, 'ended_s', seconds(now), 'lease_ms', '0')
  if value ~= '' then
    redis.call('HSET', KEYS[1], name, value)
  end
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('SADD', KEYS[4], ARGV[1])
  redis.call('EXPIRE', KEYS[1], KEEP_S)
  redis.call('EXPIRE', KEYS[2], KEEP_S)
end
