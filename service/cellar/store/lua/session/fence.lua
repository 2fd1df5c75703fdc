-- Mark a session whose model was deleted: the end of its head changes, so that commits find another head than they
-- expect.
--
-- KEYS[1]  hash  the record
--
-- ARGV[1]  meta that the record must have, byte for byte
-- ARGV[2]  meta
-- ARGV[3]  the last bytes of the head
--
-- Returns 1 if the session is marked, else its present meta, or nil if there is no session.

local found = redis.call('HMGET', KEYS[1], 'h', 'm')
if not found[1] or found[2] ~= ARGV[1] then
  return found[2]
end
redis.call('HSET', KEYS[1], 'h', string.sub(found[1], 1, -1 - #ARGV[3]) .. ARGV[3], 'm', ARGV[2])
return 1
