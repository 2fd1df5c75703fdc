-- Store a shadow, if its session exists and the present shadow is the expected one.
--
-- KEYS[1]  hash  the record
-- KEYS[2]  hash  the shadow: 'j' its description as JSON, 'a' its state, 'b' the state of the session
--
-- ARGV[1]  incarnation of the session: bytes 2 to 9 of its head
-- ARGV[2]  expected 'j', '' for any or no shadow
-- ARGV[3]  'j'
-- ARGV[4]  'a'
-- ARGV[5]  'b'
--
-- Returns 1 if it is stored, 0 if there is another shadow, -1 if there is another session or none.

local head = redis.call('HGET', KEYS[1], 'h')
if not head or string.sub(head, 2, 9) ~= ARGV[1] then
  return -1
end
if ARGV[2] ~= '' and redis.call('HGET', KEYS[2], 'j') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[2], 'j', ARGV[3], 'a', ARGV[4], 'b', ARGV[5])
return 1
