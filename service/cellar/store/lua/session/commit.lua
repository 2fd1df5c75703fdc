-- Move a session from one position to the next, if it still stands where the caller believes.
--
-- KEYS[1]  hash    the record (see record_codec.py for its fields)
-- KEYS[2]  string  the tombstone
-- KEYS[3...]       what the further commands write; what the request's Idempotency-Key was answered comes first
--
-- ARGV[1]  head that the record must have, byte for byte
-- ARGV[2]  lifetime of the record, ms; 0: it has no end
-- ARGV[3]  the tombstone is renewed when it has less than this left, ms
-- ARGV[4]  lifetime of a renewed tombstone, ms
-- ARGV[5]  milliseconds to ask the other processes for if this commit loses, 0 for none
-- ARGV[6]  1 if KEYS[3] is that of an Idempotency-Key, else 0
-- ARGV[7]  how many changes it has
-- ARGV[8]  how many of the following are the record's new fields and their values, which begin with
-- ARGV[9...]       'h', head; 's', state; and for each change r<i>, ring entry
-- then further commands, each: how many arguments it has, its name, the number of its key, the arguments
--
-- Returns an integer if the commit is applied: the milliseconds that another process asks for, 0 for none. Else
--   {'gone', 1 if there is a tombstone}
--   {'keyed', what the Idempotency-Key was answered}
--   {'moved', head, meta, state, writers or nil, for each change what stands in its r<i> or nil}
--
-- All or nothing: the first write is the HSET, which a Redis that is full or read-only refuses, and with it everything.
-- What may be refused behind it for want of a right, or because a stream is further than the record, is found out
-- before, in ways that change nothing. Lifetimes and hints are worth no error: the commit stands without them.

local record = KEYS[1]
local found = redis.call('HMGET', record, 'h', 'w')
local head, asked = found[1], found[2]
if not head then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
if ARGV[6] == '1' then
  local keyed = redis.call('GET', KEYS[3])
  -- bytes 2 to 9 of the head are the session's incarnation: an earlier session of this name does not count
  if keyed and string.sub(keyed, 1, 8) == string.sub(head, 2, 9) then
    return {'keyed', keyed}
  end
end
if head ~= ARGV[1] then
  if ARGV[5] ~= '0' then
    redis.pcall('HSET', record, 'w', ARGV[5]) -- a wish: a Redis that refuses it changes no answer
  end
  local names = {'m', 's', 'v'}
  for change = 1, tonumber(ARGV[7]) do
    names[3 + change] = ARGV[11 + 2 * change]
  end
  return {'moved', head, unpack(redis.call('HMGET', record, unpack(names)))}
end
local last = 8 + ARGV[8]
local at = last + 1
while ARGV[at] do
  local name, key = ARGV[at + 1], KEYS[tonumber(ARGV[at + 2])]
  local reply
  if name == 'XADD' then
    if redis.call('XRANGE', key, ARGV[at + 6], '+', 'COUNT', 1)[1] then
      return redis.error_reply('ERR a stream of the session is further than its record')
    end
    reply = redis.pcall('XADD', record, '*', '', '') -- a hash: Redis looks for the right, and then at the type
    if reply.err and string.find(reply.err, 'WRONGTYPE', 1, true) then
      reply = nil
    end
  elseif name == 'SET' then
    reply = redis.pcall('SET', record, '', 'NX') -- it is there, so nothing is set
  end
  if type(reply) == 'table' and reply.err then
    return reply
  end
  at = at + 3 + ARGV[at]
end
redis.call('HSET', record, unpack(ARGV, 9, last))
if ARGV[2] == '0' then
  redis.pcall('PERSIST', record)
else
  redis.pcall('PEXPIRE', record, ARGV[2])
  local left = redis.pcall('PTTL', KEYS[2])
  if type(left) ~= 'number' or left < tonumber(ARGV[3]) then
    redis.pcall('SET', KEYS[2], '', 'PX', ARGV[4])
  end
end
at = last + 1
while ARGV[at] do
  local count = tonumber(ARGV[at])
  local name = ARGV[at + 1]
  local call = (name == 'XADD' or name == 'SET') and redis.call or redis.pcall
  call(name, KEYS[tonumber(ARGV[at + 2])], unpack(ARGV, at + 3, at + 2 + count))
  at = at + 3 + count
end
if asked then
  redis.pcall('HDEL', record, 'w')
  return tonumber(asked)
end
return 0
