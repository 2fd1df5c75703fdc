-- End the job. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] state     succeeded, failed or cancelled
-- ARGV[4] field     result or error
-- ARGV[5] value     '' for none
--
-- Returns 1 (also if this attempt has ended the job in this state before), or -1 if the attempt is superseded.

if mine(ARGV[2]) then
  close(now_ms(), ARGV[3], ARGV[4], ARGV[5])
  return 1
end
return get('attempt') == ARGV[2] and get('state') == ARGV[3] and 1 or SUPERSEDED
