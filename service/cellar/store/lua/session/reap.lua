-- Delete the other keys of a session whose record has expired.
--
-- KEYS[1]    hash    the record
-- KEYS[2]    string  the tombstone
-- KEYS[3...] keys of the session that have no lifetime
--
-- Returns 0 if the record exists: nothing is deleted. Else the version that ran the session, or '' if it is not known,
-- if the session has expired lately, and 1 if it was deleted, expired long ago or never existed.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
if KEYS[3] then
  redis.call('UNLINK', unpack(KEYS, 3))
end
return redis.call('GET', KEYS[2]) or 1
