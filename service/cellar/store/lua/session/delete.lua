-- Delete a session, if it has this incarnation.
--
-- KEYS[1]    hash    the record
-- KEYS[2]    string  the tombstone
-- KEYS[3...] the other keys of the session; KEYS[4] is also the channel of its notifications
--
-- ARGV[1]  incarnation of the session: bytes 2 to 9 of its head
--
-- Returns 1 if it is deleted, 0 if there is no session or another one of that name.

local head = redis.call('HGET', KEYS[1], 'h')
if not head or string.sub(head, 2, 9) ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', unpack(KEYS))
redis.pcall('PUBLISH', KEYS[4], '')
return 1
