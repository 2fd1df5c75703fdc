-- Ask the job to end; a job without a live lease ends now. Keys as in common.lua.
-- A job that has ended or whose outcome is sealed stays as it is.
--
-- Returns 1, or 0 if there is no such job.

if not get('state') then
  return 0
end
if open() and not get('outcome') then
  local now = now_ms()
  if leased(now) then
    if redis.call('HSETNX', KEYS[1], 'cancel_asked_s', seconds(now)) == 1 then
      tell_state(',"cancelling":true')
    end
  else
    close(now, 'cancelled', '', '')
  end
end
return 1
