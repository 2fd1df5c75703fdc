-- Copy a session under a name.
--
-- KEYS[1]  hash    the record
-- KEYS[2]  string  the tombstone
-- KEYS[3]  hash    the copies: of each h:<name> head, m:<name> meta, s:<name> state, a:<name> about. If the session has
--                  redo entries, s:<name> has the state and these, each with its length before it.
--
-- ARGV[1]  name
-- ARGV[2]  position that the session must have: bytes 10 to 41 of its head; '' for any
-- ARGV[3]  about: bytes that are stored with the copy
-- ARGV[4]  most copies
-- ARGV[5]  lifetime of all of them, ms; 0: as long as the session
--
-- Returns
--   {'gone', 1 if there is a tombstone}
--   {'there', present head, head, meta, about of an existing copy of that name}
--   {'moved'}  the session has another position
--   {'full'}
--   {'copied', present head, head, meta, about}
--
-- All or nothing: the first write is the HSET. A Redis that is full or read-only refuses it, which ends the script. If
-- the lifetime is refused, the copy is deleted again.

local name = ARGV[1]
local record = redis.call('HMGET', KEYS[1], 'h', 'm', 's')
local head = record[1]
if not head then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
local there = redis.call('HMGET', KEYS[3], 'h:' .. name, 'm:' .. name, 'a:' .. name)
-- bytes 2 to 9 of a head are the session's incarnation: copies may be of an earlier session of this name
if there[1] and string.sub(there[1], 2, 9) == string.sub(head, 2, 9) then
  return {'there', head, there[1], there[2], there[3]}
end
if ARGV[2] ~= '' and string.sub(head, 10, 41) ~= ARGV[2] then
  return {'moved'}
end
if redis.call('HLEN', KEYS[3]) >= 4 * tonumber(ARGV[4]) then
  return {'full'}
end
local state = record[3]
if string.byte(head, 1) == 2 then
  local parts, last = {struct.pack('<I4', #state), state}, -1
  while true do -- as in read_redo.lua
    local entry = redis.call('HGET', KEYS[1], string.format('i%d', #parts / 2 - 1))
    local revision = entry and struct.unpack('<I8', entry)
    if not entry or revision <= last then
      break
    end
    parts[#parts + 1], parts[#parts + 2], last = struct.pack('<I4', #entry), entry, revision
  end
  state = table.concat(parts)
end
redis.call('HSET', KEYS[3], 'h:' .. name, head, 'm:' .. name, record[2], 's:' .. name, state, 'a:' .. name, ARGV[3])
if ARGV[5] ~= '0' then
  local reply = redis.pcall('PEXPIRE', KEYS[3], ARGV[5])
  if type(reply) == 'table' and reply.err then
    redis.pcall('HDEL', KEYS[3], 'h:' .. name, 'm:' .. name, 's:' .. name, 'a:' .. name)
    return reply
  end
end
return {'copied', head, head, record[2], ARGV[3]}
