-- Make a blob whole: write its head and keep its chunks, if they are all there.
--
-- KEYS[1]   head    string: how many bytes the blob has
-- KEYS[2..] chunks  strings, which expire until now
-- ARGV[1] how many bytes the blob has
--
-- Returns 1, or 0 if a chunk is missing.
-- The first write is the SET: a Redis that is full or read-only refuses it, and with it everything.

if redis.call('EXISTS', unpack(KEYS, 2)) < #KEYS - 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
for index = 2, #KEYS do
  redis.call('PERSIST', KEYS[index])
end
return 1
