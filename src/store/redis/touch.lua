-- ARGV: key, users, last seen, deadline, ttl. Writes into the head in place: data and version are never read.
local seen, ends, ttl = ARGV[3], ARGV[4], ARGV[5]
local old = head(entry)
if not old then return 0 end
if tonumber(seen) > tonumber(last_seen(old)) then redis.call('SETRANGE', entry, 19, seen) end
if tonumber(ends) > tonumber(deadline(old)) then
  redis.call('SETRANGE', entry, 34, ends)
  redis.call('ZADD', deadlines, ends, key)
  keep(entry, ttl)
  keep(deadlines, ttl)
  local user = index(old)
  if user then keep(user, ttl) end
end
return 1
