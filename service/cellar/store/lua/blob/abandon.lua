-- Forget the chunks of a blob that nobody has made whole.
--
-- KEYS[1]   head    string: how many bytes the blob has; there if it is whole
-- KEYS[2..] chunks  strings

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('UNLINK', unpack(KEYS, 2))
end
