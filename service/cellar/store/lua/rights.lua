-- Find the commands that the user may not run. They change nothing except the probe.
--
-- KEYS[1]  string  the probe, which the last command deletes
--
-- ARGV     the commands, each: number of arguments, name, arguments; $ stands for the probe
--
-- Returns the names of the commands that were refused.

local DENIED = {'NOPERM', 'ACL failure', "can't run this command", "can't access at least one of the keys"}

local function is_denied(reply)
  if type(reply) == 'table' and reply.err then
    for _, text in ipairs(DENIED) do
      if string.find(reply.err, text, 1, true) then
        return true
      end
    end
  end
  return false
end

local denied = {}
local at = 1
while ARGV[at] do
  local last = at + 1 + ARGV[at]
  local command = {unpack(ARGV, at + 1, last)}
  for index, word in ipairs(command) do
    if word == '$' then
      command[index] = KEYS[1]
    end
  end
  if is_denied(redis.pcall(unpack(command))) then
    denied[#denied + 1] = command[1]
  end
  at = last + 1
end
return denied
