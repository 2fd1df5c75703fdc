-- Move a session from one position to the next, if it still stands where the caller believes.
--
-- KEYS[1]  hash    the record: h head, m meta, s state, r<i> ring entries, w milliseconds asked for
-- KEYS[2]  string  the tombstone
-- KEYS[3]  string  what the request's Idempotency-Key was answered; absent if the request has none
--
-- ARGV[1]  head that the record must have, byte for byte
-- ARGV[2]  head that it gets
-- ARGV[3]  state that it gets
-- ARGV[4]  field of the ring entry, r<i>
-- ARGV[5]  ring entry
-- ARGV[6]  lifetime of the record, ms
-- ARGV[7]  the tombstone is renewed when it has less than this left, ms
-- ARGV[8]  lifetime of a renewed tombstone, ms
-- ARGV[9]  milliseconds to ask the other processes for if this commit loses, 0 for none
-- ARGV[10] what the Idempotency-Key is answered from now on; absent if the request has none
-- ARGV[11] lifetime of that, ms
--
-- Returns an integer if the commit is applied: the milliseconds that another process asks for, 0 for none. Else
--   {'gone', 1 if there is a tombstone}
--   {'keyed', what the Idempotency-Key was answered}
--   {'moved', head, meta, state, ring entry in ARGV[4] or nil}
--
-- The first write is the HSET: a Redis that is full or read-only refuses it, and with it everything.

local found = redis.call('HMGET', KEYS[1], 'h', 'w')
local head, asked = found[1], found[2]
if not head then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
if KEYS[3] then
  local keyed = redis.call('GET', KEYS[3])
  -- bytes 2 to 9 of the head are the session's birth: an earlier session of this name does not count
  if keyed and string.sub(keyed, 1, 8) == string.sub(head, 2, 9) then
    return {'keyed', keyed}
  end
end
if head ~= ARGV[1] then
  if ARGV[9] ~= '0' then
    redis.pcall('HSET', KEYS[1], 'w', ARGV[9]) -- a wish: a Redis that refuses it changes no answer
  end
  local now = redis.call('HMGET', KEYS[1], 'm', 's', ARGV[4])
  return {'moved', head, now[1], now[2], now[3]}
end
redis.call('HSET', KEYS[1], 'h', ARGV[2], 's', ARGV[3], ARGV[4], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[7]) then
  redis.call('SET', KEYS[2], '', 'PX', ARGV[8])
end
if KEYS[3] then
  redis.call('SET', KEYS[3], ARGV[10], 'PX', ARGV[11])
end
if asked then
  redis.call('HDEL', KEYS[1], 'w')
  return tonumber(asked)
end
return 0
