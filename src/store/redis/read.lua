-- ARGV: -, users, what the names of the shard's entries begin with, '+' and a user or '', then keys when there is no user.
-- Answers keys and values; what an index names and is no more, is struck from it.
local found, wanted, of_user = {}, {}, nil
if ARGV[4] ~= '' then
  of_user = users .. string.sub(ARGV[4], 2)
  wanted = redis.call('SMEMBERS', of_user)
else
  for n = 5, #ARGV do wanted[#wanted + 1] = ARGV[n] end
end
for _, member in ipairs(wanted) do
  local value = redis.call('GET', ARGV[3] .. member)
  if value and string.sub(value, 1, 1) ~= 'x' then
    found[#found + 1] = member
    found[#found + 1] = value
  else
    redis.call('ZREM', deadlines, member)
    if of_user then redis.call('SREM', of_user, member) end
  end
end
return found
