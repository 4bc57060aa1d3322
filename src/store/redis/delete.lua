-- KEYS[3] is where the deleted value stays for a moment. ARGV: key, users, drawn for this delete, life of the
-- tombstone, life of the deleted value, channel, operation. Answers the value, or nil, and how many are told.
local writer, channel, operation = ARGV[3], ARGV[6], ARGV[7]
local old = redis.call('GET', entry)
if not old or string.sub(old, 1, 1) == 'x' then
  -- Told again: an earlier attempt may have been cut off before everybody had heard.
  local told = announce(channel, operation)
  -- Sent again after a lost answer: what was deleted was there, and whoever asks must know it.
  if old and string.sub(old, 2) == writer then return { redis.call('GET', KEYS[3]), told } end
  return { false, told }
end
if string.sub(old, 1, 1) ~= '1' then return redis.error_reply('ERR entry of an unknown format') end
-- First what frees memory: a full server then lets the rest of the script through.
redis.call('DEL', entry)
strike(old)
redis.call('SET', entry, 'x' .. writer, 'PX', ARGV[4])
redis.call('SET', KEYS[3], old, 'PX', ARGV[5])
return { old, announce(channel, operation) }
