-- Read entries of a session's log or events, fewer if they are large.
--
-- KEYS[1]  hash    the record
-- KEYS[2]  string  the tombstone
-- KEYS[3]  stream  the log or the events
--
-- ARGV[1]  id to begin with
-- ARGV[2]  id to end with
-- ARGV[3]  most entries
-- ARGV[4]  number of bytes after which no further entry is read
--
-- Returns {'gone', 1 if there is a tombstone}, or {'there', head, entries as XRANGE returns them}

local head = redis.call('HGET', KEYS[1], 'h')
if not head then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
local entries, bytes, from = {}, 0, ARGV[1]
while #entries < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
  local entry = redis.call('XRANGE', KEYS[3], from, ARGV[2], 'COUNT', 1)[1]
  if not entry then
    break
  end
  entries[#entries + 1] = entry
  for _, value in ipairs(entry[2]) do
    bytes = bytes + #value
  end
  from = '(' .. entry[1]
end
return {'there', head, entries}
