-- Find the models on which a session depends.
--
-- KEYS[1]  hash  the record
-- KEYS[2]  hash  its snapshots: of each h:<name> head, m:<name> meta
-- KEYS[3]  hash  its shadow: 'j' its description as JSON
--
-- Returns {head, meta, description of the shadow or '', meta of each snapshot ...}, or nil if there is no session.

local record = redis.call('HMGET', KEYS[1], 'h', 'm')
local head = record[1]
if not head then
  return nil
end
local found = {head, record[2], redis.call('HGET', KEYS[3], 'j') or ''}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, 1, 2) == 'h:' then
    local copy = redis.call('HMGET', KEYS[2], field, 'm:' .. string.sub(field, 3))
    -- bytes 2 to 9 of a head are the session's incarnation: a copy may be of an earlier session of this name
    if string.sub(copy[1], 2, 9) == string.sub(head, 2, 9) then
      found[#found + 1] = copy[2]
    end
  end
end
return found
