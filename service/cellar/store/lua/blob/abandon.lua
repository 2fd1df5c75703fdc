-- Delete the chunks of a blob without a head.
--
-- KEYS[1]   head    string: number of bytes of the blob; exists if the blob is complete
-- KEYS[2..] chunks  strings

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('UNLINK', unpack(KEYS, 2))
end
