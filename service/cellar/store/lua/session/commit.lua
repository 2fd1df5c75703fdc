-- Apply a commit: write the new record of a session if the present one has the expected head.
--
-- KEYS[1]  hash    the record (see record_codec.py for its fields)
-- KEYS[2]  string  the tombstone
-- KEYS[3]  hash    with an Idempotency-Key: the last answers of the session for such keys (see keyed_answer.py)
-- KEYS[4]  string  with an Idempotency-Key: the answer for it that an earlier version of Cellar has stored
-- then             keys of the further commands
--
-- ARGV[1]  expected head, compared byte for byte
-- ARGV[2]  lifetime of the record, ms; 0: endless
-- ARGV[3]  the tombstone is extended if its remaining lifetime is shorter, ms
-- ARGV[4]  lifetime of an extended tombstone, ms
-- ARGV[5]  pause to ask the other processes for if the head is another one, ms; 0: none
-- ARGV[6]  digest of the Idempotency-Key, 8 bytes; 0 without one
-- ARGV[7]  number of changes
-- ARGV[8]  number of the following arguments that are new fields of the record and their values, which begin with
-- ARGV[9...]       'h', head; 's', state; and for each change r<i>, ring entry
-- then further commands, each: number of arguments, name, index of its key, arguments. REMEMBER is one of this script:
--                  answer for the Idempotency-Key, its lifetime in ms, most answers of the session, most marks in a field
--
-- Returns an integer if the commit is applied: the pause that another process asks for, ms, 0 for none. Else
--   {'gone', 1 if there is a tombstone}
--   {'keyed', the stored answer for the Idempotency-Key}
--   {'forgotten', head} if the request with this key was applied, and its answer is no longer kept
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
-- bytes 2 to 9 of the head are the session's incarnation: answers may be of an earlier session of this name
local incarnation, digest, now = string.sub(head, 2, 9), ARGV[6], nil

local function marks_of(name)
  return 'b' .. string.byte(name, 1) % 128
end

local function lasts(time)
  return struct.unpack('>I4', time) > now
end

if digest ~= '0' then
  now = tonumber(redis.call('TIME')[1])
  local kept = redis.call('HMGET', KEYS[3], 'i', digest, marks_of(digest))
  local keyed, marks = redis.call('GET', KEYS[4]), ''
  if kept[1] == incarnation then
    if kept[2] and lasts(kept[2]) then
      keyed = string.sub(kept[2], 5)
    end
    marks = kept[3] or ''
  end
  if keyed and string.sub(keyed, 1, 8) == incarnation then
    return {'keyed', keyed}
  end
  for mark = 1, #marks, 12 do
    if string.sub(marks, mark, mark + 7) == digest and lasts(string.sub(marks, mark + 8, mark + 11)) then
      return {'forgotten', head}
    end
  end
end

-- Keep an answer in the place of the oldest one, of which a mark is kept.
local function remember(answers, answer, life_ms, most, most_marks)
  redis.call('HSET', answers, 'i', incarnation)
  local ends = struct.pack('>I4', now + math.ceil(life_ms / 1000))
  local place = tostring(redis.call('HINCRBY', answers, 'n', 1) % most)
  local oldest = redis.call('HGET', answers, place)
  if oldest then
    local name, time = string.sub(oldest, 1, 8), string.sub(oldest, 9, 12)
    local old = redis.call('HGET', answers, name)
    if old and string.sub(old, 1, 4) == time then -- else there is a later answer for the same key
      redis.call('HDEL', answers, name)
      if lasts(time) then
        local marks = (redis.call('HGET', answers, marks_of(name)) or '') .. oldest
        redis.call('HSET', answers, marks_of(name), string.sub(marks, -12 * most_marks))
      end
    end
  end
  redis.call('HSET', answers, digest, ends .. answer, place, digest .. ends)
  redis.pcall('PEXPIRE', answers, life_ms)
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
if digest ~= '0' then -- the commands of `remember` need these rights; none of these calls changes an answer
  local of = redis.call('HGET', KEYS[3], 'i')
  -- 'h' is no integer, so this fails: Redis checks before whether it is full, which it does only before a script's
  -- first write, and the right
  local counted = redis.pcall('HINCRBY', record, 'h', 0)
  if not string.find(counted.err, 'not an integer', 1, true) then
    return counted
  end
  redis.call('HDEL', record, '')
  if of ~= incarnation then
    redis.call('UNLINK', KEYS[3]) -- the answers of an earlier session
  end
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
  local key = KEYS[tonumber(ARGV[at + 2])]
  if name == 'REMEMBER' then
    remember(key, ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]))
  else
    local call = name == 'XADD' and redis.call or redis.pcall
    call(name, key, unpack(ARGV, at + 3, at + 2 + count))
  end
  at = at + 3 + count
end
if asked then
  redis.pcall('HDEL', record, 'w')
  return tonumber(asked)
end
return 0
