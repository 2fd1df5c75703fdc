-- Complete a blob: write its head and make its chunks persistent, if they all exist.
--
-- KEYS[1]   head    string: number of bytes of the blob
-- KEYS[2..] chunks  strings, which have had a lifetime so far
-- ARGV[1] number of bytes of the blob
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
