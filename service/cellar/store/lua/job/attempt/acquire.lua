-- Begin the next attempt. Keys as in common.lua.
-- ARGV[2] lease, ms
-- ARGV[3] number of consecutive attempts that may die without a new checkpoint
-- ARGV[4] the error of a job that has had them, which continues with
-- ARGV[5] and the cause of the last death, if that is known, else with
-- ARGV[6], and in each case with the place of the last report, if there is one
--
-- Returns the number of the attempt, or 0 if the job has a live lease or has ended (perhaps in this call).

local now = now_ms()
if not open() or leased(now) then
  return 0
end
if get('cancel_asked_s') and not get('outcome') then
  close(now, 'cancelled', '', '')
  return 0
end
if redis.call('HINCRBY', KEYS[1], 'barren', 1) > tonumber(ARGV[3]) then
  local death, at, report = get('death'), '', cjson.decode(get('progress') or '{}')
  if report.epoch and report.update then
    local numbers = {report.epoch, report.epochs, report.update, report.updates}
    at = string.format('; its last report is of epoch %d of %d, batch %d of %d', unpack(numbers))
  end
  close(now, 'failed', 'error', ARGV[4] .. (death and ARGV[5] .. death or ARGV[6]) .. at)
  return 0
end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
local until_ms = now + ARGV[2]
redis.call('HSET', KEYS[1], 'state', 'running', 'lease_ms', milliseconds(until_ms))
redis.call('HSETNX', KEYS[1], 'started_s', seconds(now))
redis.call('HDEL', KEYS[1], 'death')
tell_state()
look(until_ms)
return attempt
