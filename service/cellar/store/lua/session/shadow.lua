-- Store a shadow, if its session is there and the shadow is where the caller believes.
--
-- KEYS[1]  hash  the record
-- KEYS[2]  hash  the shadow: 'j' what is told of it, 'a' its state, 'b' that of the session
--
-- ARGV[1]  incarnation of the session: bytes 2 to 9 of its head
-- ARGV[2]  'j' that the shadow must have, '' for any or none
-- ARGV[3]  'j'
-- ARGV[4]  'a'
-- ARGV[5]  'b'
--
-- Returns 1 if it is stored, 0 if the shadow is another one, -1 if the session is.

local head = redis.call('HGET', KEYS[1], 'h')
if not head or string.sub(head, 2, 9) ~= ARGV[1] then
  return -1
end
if ARGV[2] ~= '' and redis.call('HGET', KEYS[2], 'j') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[2], 'j', ARGV[3], 'a', ARGV[4], 'b', ARGV[5])
return 1
