-- Drop what a session leaves behind when its record expires.
--
-- KEYS[1]    hash    the record
-- KEYS[2]    string  the tombstone
-- KEYS[3...] what has no lifetime of its own and is there only for the session
--
-- Returns 0 if the record is there: nothing is dropped. Else 2 if the session has expired lately, 1 if it was deleted,
-- expired long ago or has never been.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
if KEYS[3] then
  redis.call('UNLINK', unpack(KEYS, 3))
end
return 1 + redis.call('EXISTS', KEYS[2])
