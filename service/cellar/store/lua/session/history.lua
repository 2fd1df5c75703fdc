-- Read the places of a session's earlier states, and the first entry of its log.
--
-- KEYS[1]  hash    the record
-- KEYS[2]  string  the tombstone
-- KEYS[3]  stream  the log
--
-- ARGV[1]  number of states that it may keep: p0, p1, ...
-- ARGV[2]  number of bytes to return of each: all except the state itself
--
-- Returns {'gone', 1 if there is a tombstone}, or {'there', head, meta, the first entry of the log (its id and its
-- first three fields, which are kind, position and steps) or '', the beginnings of p0, p1, ..., '' where there is none}

local found = redis.call('HMGET', KEYS[1], 'h', 'm')
if not found[1] then
  return {'gone', redis.call('EXISTS', KEYS[2])}
end
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
local answer = {'there', found[1], found[2], first and {first[1], {unpack(first[2], 1, 6)}} or ''}
for place = 0, ARGV[1] - 1 do
  local past = redis.call('HGET', KEYS[1], string.format('p%d', place))
  answer[#answer + 1] = past and string.sub(past, 1, ARGV[2]) or ''
end
return answer
