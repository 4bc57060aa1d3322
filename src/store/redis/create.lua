-- ARGV: key, users, value, ttl. Answers 1, or 0 when the key is taken, by a tombstone too.
local value, ttl = ARGV[3], ARGV[4]
if not redis.call('SET', entry, value, 'NX', 'PX', ttl) then
  -- Sent again after a lost answer: what is there is this very write.
  local there = head(entry)
  return (there and writer(there) == writer(value)) and 1 or 0
end
enter(value, ttl)
return 1
