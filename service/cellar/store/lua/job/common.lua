-- The first part of every job script. All scripts except due, forget, keep, uncount and lapse have these keys, and the
-- job's member as first argument.
--
-- KEYS[1] record    hash: state, attempt, spec, created_s, started_s, ended_s, progress, result, error, checkpoint,
--                   spare, cancel_asked_s, outcome; lease_ms (when the lease ends), barren (attempts since the
--                   newest checkpoint), death (how the process of the newest attempt died, if that is known),
--                   events (number of its events), epochs_from (number of the epoch in the first row of KEYS[8])
-- KEYS[2] history   hash: epoch -> its record, of the newest 1,000
-- KEYS[3] active    sorted set: member of every job that is queued or running -> when to check it next, ms
-- KEYS[4] ended     set: members of ended jobs whose blobs are to be deleted
-- KEYS[5] events    stream: k kind, d data (JSON); its ids are the time of the job's creation, ms, and the event's number
-- KEYS[6] retained  sorted set: members of failed and cancelled jobs, which can be tried again -> when they ended, ms
-- KEYS[7] outcomes  hash: state -> number of the jobs that have ended so
-- KEYS[8] epochs    string: rows of 32 bytes, one for each finished epoch (store/catalogue/job_epochs.py)
-- KEYS[9] result    string: the result of a backtest
-- ARGV[1] member    tenant/job
--
-- Times are those of the Redis server, so that hosts with different clocks agree on leases.

local SUPERSEDED = -1
local KEEP_S = 30 * 24 * 3600 -- how long an ended job can be read
local EVENTS = 1000 -- newest events of a job that are kept, and up to 100 more

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

-- Appends an event; `data` is JSON.
local function tell(kind, data)
  local id = milliseconds(get('created_s') * 1000) .. '-' .. redis.call('HINCRBY', KEYS[1], 'events', 1)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', EVENTS, id, 'k', kind, 'd', data)
end

-- Appends an event with the state of the job and further members.
local function tell_state(members)
  tell('state', string.format('{"state":"%s","attempt":%s%s}', get('state'), get('attempt'), members or ''))
end

-- Ends the job: the record expires later. Its blobs are to be deleted, those of a job that can be tried again later.
local function close(now, state, name, value)
  local fields = string.format('{"state":"%s"', state)
  if value ~= '' then
    fields = fields .. ',"' .. name .. '":' .. cjson.encode(value)
  end
  tell('end', fields .. '}')
  redis.call('HINCRBY', KEYS[7], state, 1)
  redis.call('HSET', KEYS[1], 'state', state, 'ended_s', seconds(now), 'lease_ms', '0')
  if value ~= '' then
    redis.call('HSET', KEYS[1], name, value)
  end
  redis.call('ZREM', KEYS[3], ARGV[1])
  if state == 'succeeded' then
    redis.call('SADD', KEYS[4], ARGV[1])
  else
    redis.call('ZADD', KEYS[6], milliseconds(now), ARGV[1])
  end
  for index, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[8], KEYS[9]}) do
    redis.call('EXPIRE', key, KEEP_S)
  end
end
