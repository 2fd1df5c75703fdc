-- The first part of the scripts that change models, which have these keys, and the name as first argument.
--
-- KEYS[1] newest    hash: name -> newest version
-- KEYS[2] highest   hash: name -> highest version ever; kept after a deletion, so that no number is used twice
-- KEYS[3] versions  hash: version -> record, of this model
-- KEYS[4] weights   hash: digest of a weights blob -> number of versions of all tenants that refer to it
-- ARGV[1] name

-- Adds a version (record: JSON without the number), makes it the newest and returns its number.
local function add(record, weights)
  local version = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
  redis.call('HSET', KEYS[3], version, record)
  redis.call('HINCRBY', KEYS[4], weights, 1)
  redis.call('HSET', KEYS[1], ARGV[1], version)
  return version
end

-- Notes that an alias is moved or deleted at a time (ms), and returns when: later than every move before it.
local function next_move(key, now)
  local last = tonumber(redis.call('GET', key) or '0')
  local moved = string.format('%.0f', math.max(last + 1, tonumber(now)))
  redis.call('SET', key, moved)
  return moved
end
