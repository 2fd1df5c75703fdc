-- Return a dataset and record that a job needs it.
--
-- KEYS[1] records   hash: name -> record, of one tenant
-- KEYS[2] pins      hash: job -> since when it needs this dataset, s since the Unix epoch
-- ARGV[1] name
-- ARGV[2] job
-- ARGV[3] present time
--
-- Returns the record, or nil if there is none.

local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then
  redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
end
return found
