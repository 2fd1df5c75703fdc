-- Read a session whose last commits have stored the inputs of their steps in place of its state.
--
-- KEYS[1]  hash  the record: i0, i1, ... are the redo entries since the commit that stored the state. Behind them may
--                be entries of before, whose revisions are smaller.
--
-- Returns {head, meta, state, writers or nil, redo entries ...}, or nil if there is no session.

local record = redis.call('HMGET', KEYS[1], 'h', 'm', 's', 'v')
if not record[1] then
  return nil
end
local found, last = {record[1], record[2], record[3], record[4]}, -1
while true do
  local entry = redis.call('HGET', KEYS[1], string.format('i%d', #found - 4))
  local revision = entry and struct.unpack('<I8', entry)
  if not entry or revision <= last then
    return found
  end
  found[#found + 1], last = entry, revision
end
