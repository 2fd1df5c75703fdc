-- Create a session if its name is free.
--
-- KEYS[1]    hash    the record
-- KEYS[2]    string  the tombstone
-- KEYS[3...] other keys, which an earlier session of the name may have left
--
-- ARGV[1]  head
-- ARGV[2]  meta
-- ARGV[3]  state
-- ARGV[4]  lifetime of the record, ms; 0: endless
-- ARGV[5]  lifetime of the tombstone, and of the streams unless the record has an endless one, ms
-- ARGV[6]  number of the following arguments, which are fields and values of the first entry of the stream KEYS[3]
-- then these, and the same for the stream KEYS[4]
--
-- Returns 0 if the session is created, else {head, meta, remaining lifetime in ms} of the session that has the name.
-- All or nothing: the first write is the HSET. A Redis that is full or read-only refuses it, which ends the script. If
-- a later command is refused, the record is deleted again.

local found = redis.call('HMGET', KEYS[1], 'h', 'm')
if found[1] then
  return {found[1], found[2], redis.call('PTTL', KEYS[1])}
end
redis.call('HSET', KEYS[1], 'h', ARGV[1], 'm', ARGV[2], 's', ARGV[3])
local refused
local function try(...)
  local reply = not refused and redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    refused = reply
  end
end
if ARGV[4] ~= '0' then
  try('PEXPIRE', KEYS[1], ARGV[4])
end
try('UNLINK', unpack(KEYS, 3))
local at = 6
for stream = 3, 4 do
  local count = tonumber(ARGV[at])
  if count > 0 then
    try('XADD', KEYS[stream], '0-1', unpack(ARGV, at + 1, at + count))
    if ARGV[4] ~= '0' then
      try('PEXPIRE', KEYS[stream], ARGV[5])
    end
  end
  at = at + 1 + count
end
try('SET', KEYS[2], string.match(ARGV[2], '^%["([^"]*)"') or '', 'PX', ARGV[5]) -- the version: metadata begin with it
if refused then
  redis.pcall('UNLINK', unpack(KEYS, 3))
  redis.pcall('HDEL', KEYS[1], 'h', 'm', 's')
  return refused
end
return 0
