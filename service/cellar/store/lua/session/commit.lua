-- Apply a commit: write the new record of a session if the present one has the expected head.
--
-- KEYS[1]  hash    the record (see record_codec.py for its fields)
-- KEYS[2]  string  the tombstone
-- KEYS[3...]       keys of the further commands; the answer for the Idempotency-Key is the first, if there is one
--
-- ARGV[1]  expected head, compared byte for byte
-- ARGV[2]  lifetime of the record, ms; 0: endless
-- ARGV[3]  the tombstone is extended if its remaining lifetime is shorter, ms
-- ARGV[4]  lifetime of an extended tombstone, ms
-- ARGV[5]  pause to ask the other processes for if the head is another one, ms; 0: none
-- ARGV[6]  1 if KEYS[3] is the key of an Idempotency-Key, else 0
-- ARGV[7]  number of changes
-- ARGV[8]  number of the following arguments that are new fields of the record and their values, which begin with
-- ARGV[9...]       'h', head; 's', state; and for each change r<i>, ring entry
-- then further commands, each: number of arguments, name, index of its key, arguments
--
-- Returns an integer if the commit is applied: the pause that another process asks for, ms, 0 for none. Else
--   {'gone', 1 if there is a tombstone}
--   {'keyed', the stored answer for the Idempotency-Key}
--   {'moved', head, meta, state, writers or nil, for each change the value of its r<i> or nil}
--
-- All or nothing: the first write is the HSET. A Redis that is full or read-only refuses it, which ends the script.
-- Later commands that could be refused for a missing right, or because a stream is ahead of the record, are checked
-- before it in ways that change nothing. Failures to set a lifetime or to publish are ignored: the commit stands.

local record = KEYS[1]
local found = redis.call('HMGET', record, 'h', 'w')
local head, asked = found[1], found[2]
if not head then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
if ARGV[6] == '1' then
  local keyed = redis.call('GET', KEYS[3])
  -- bytes 2 to 9 of the head are the session's incarnation: the answer may be of an earlier session of this name
  if keyed and string.sub(keyed, 1, 8) == string.sub(head, 2, 9) then
    return {'keyed', keyed}
  end
end
if head ~= ARGV[1] then
  if ARGV[5] ~= '0' then
    redis.pcall('HSET', record, 'w', ARGV[5]) -- a failure of this does not change the reply
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
      return redis.error_reply('ERR a stream of the session is ahead of its record')
    end
    reply = redis.pcall('XADD', record, '*', '', '') -- a hash, so it fails: Redis checks the right before the type
    if reply.err and string.find(reply.err, 'WRONGTYPE', 1, true) then
      reply = nil
    end
  elseif name == 'SET' then
    reply = redis.pcall('SET', record, '', 'NX') -- it exists, so nothing is set
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
    if redis.pcall('PEXPIRE', KEYS[2], ARGV[4]) ~= 1 then
      redis.pcall('SET', KEYS[2], '', 'PX', ARGV[4])
    end
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
