-- The first part of every job script. All scripts except due.lua and forget.lua have these keys, and the job's member
-- as first argument.
--
-- KEYS[1] record    hash: state, attempt, spec, created_s, started_s, ended_s, progress, result, error, checkpoint,
--                   spare, cancel_asked_s, outcome; lease_ms (when the lease ends), barren (attempts since the
--                   newest checkpoint), death (how the process of the newest attempt died, if that is known)
-- KEYS[2] history   hash: epoch -> its record
-- KEYS[3] active    sorted set: member of every job that is queued or running -> when to check it next, ms
-- KEYS[4] ended     set: members of ended jobs whose blobs are not deleted yet
-- ARGV[1] member    tenant/job
--
-- Times are those of the Redis server, so that hosts with different clocks agree on leases.

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

-- Returns whether the job has not ended.
local function open()
  local state = get('state')
  return state == 'queued' or state == 'running'
end

-- Returns whether this attempt is the newest one of a job that has not ended. Its lease may have expired.
local function mine(attempt)
  return open() and get('attempt') == attempt
end

local function leased(now)
  return tonumber(get('lease_ms') or '0') > now
end

-- Schedules the next check of the job.
local function look(at)
  redis.call('ZADD', KEYS[3], milliseconds(at), ARGV[1])
end

-- Ends the job: the record expires later, and its blobs are to be deleted.
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
