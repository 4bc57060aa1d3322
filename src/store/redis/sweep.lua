-- ARGV: -, users, what the names of the shard's entries begin with, now, limit. Answers the expired values.
local swept = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', ARGV[4], 'LIMIT', 0, ARGV[5])) do
  local name = ARGV[3] .. member
  local value = redis.call('GET', name)
  key = member
  if value and string.sub(value, 1, 1) == '1' then
    redis.call('DEL', name)
    strike(value)
    swept[#swept + 1] = member
    swept[#swept + 1] = value
  else
    -- Redis evicted it, or somebody deleted it by hand.
    redis.call('ZREM', deadlines, member)
  end
end
return swept
