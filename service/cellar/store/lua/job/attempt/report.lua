-- Record progress. Keys as in common.lua.
-- ARGV[2] attempt
-- ARGV[3] progress    JSON
-- ARGV[4] checkpoint  digest, or ''
-- ARGV[5] number of epochs that the history keeps
-- ARGV[6] event       JSON
-- ARGV[7] number of the first epoch in
-- ARGV[8] rows of finished epochs, '' for none
-- ARGV[9...] epoch, its record (JSON), epoch, ...
--
-- Returns 1, or -1 if the attempt is superseded.

if not mine(ARGV[2]) then
  return SUPERSEDED
end
redis.call('HSET', KEYS[1], 'progress', ARGV[3])
tell('progress', ARGV[6])
if ARGV[8] ~= '' then
  local from = tonumber(get('epochs_from'))
  if not from or from > tonumber(ARGV[7]) then -- none so far, or the job has begun again before the first of them
    redis.call('DEL', KEYS[8])
    redis.call('HSET', KEYS[1], 'epochs_from', ARGV[7])
    from = tonumber(ARGV[7])
  end
  redis.call('SETRANGE', KEYS[8], string.format('%d', (ARGV[7] - from) * 32), ARGV[8])
end
for index = 9, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
end
if #ARGV > 9 and redis.call('HLEN', KEYS[2]) > tonumber(ARGV[5]) then
  for _, epoch in ipairs(redis.call('HKEYS', KEYS[2])) do
    if tonumber(epoch) <= ARGV[#ARGV - 1] - ARGV[5] then
      redis.call('HDEL', KEYS[2], epoch)
    end
  end
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'checkpoint', ARGV[4], 'barren', '0')
  if get('spare') == ARGV[4] then
    redis.call('HDEL', KEYS[1], 'spare')
  end
end
return 1
