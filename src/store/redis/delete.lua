-- ARGV: key, users, life of the tombstone, channel, operation. Answers the value, or nil, and how many are told.
local old = redis.call('GET', entry)
if not old or string.sub(old, 1, 1) == 'x' then
  -- Told again: an earlier attempt may have been cut off before everybody had heard.
  return { false, announce(ARGV[4], ARGV[5]) }
end
if string.sub(old, 1, 1) ~= '1' then return redis.error_reply('ERR entry of an unknown format') end
-- First what frees memory: a full server then lets the rest of the script through.
redis.call('DEL', entry)
strike(old)
redis.call('SET', entry, 'x', 'PX', ARGV[3])
return { old, announce(ARGV[4], ARGV[5]) }
