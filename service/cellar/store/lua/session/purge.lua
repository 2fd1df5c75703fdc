-- Delete a session for a deletion of many, once, and remember that it was.
--
-- KEYS[1]    hash    the record
-- KEYS[2]    string  the tombstone
-- KEYS[3]    string  mark of this part of the deletion: exists when it has deleted a session of this name
-- KEYS[4...] the other keys of the session; KEYS[5] is also the channel of its notifications
--
-- ARGV[1]  bytes that must follow the first byte of its head: incarnation, or incarnation and position; '' if it is not
--          to be deleted
-- ARGV[2]  longest remaining lifetime that it may have, ms; '' for any
-- ARGV[3]  lifetime of the mark, ms
--
-- Returns 1 if this part has deleted the session, now or before, else 0.

if redis.call('EXISTS', KEYS[3]) == 1 then
  return 1
end
local head = ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'h')
if not head or string.sub(head, 2, 1 + #ARGV[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= '' and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[3], '', 'PX', ARGV[3])
redis.call('UNLINK', KEYS[1], KEYS[2], unpack(KEYS, 4))
redis.pcall('PUBLISH', KEYS[5], '')
return 1
