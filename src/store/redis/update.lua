-- ARGV: key, users, value, ttl, version that was seen, channel, operation.
-- Answers what became of it (0 absent, 1 conflict, 2 done) and how many gateways are told.
local value, ttl, seen, channel, operation = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local old = head(entry)
if not old then return { 0, 0 } end
-- Sent again after a lost answer: what is there is this very write, whatever its version.
if writer(old) == writer(value) then return { 2, announce(channel, operation) } end
if version(old) ~= seen then return { 1, 0 } end
-- Lua's own numbers keep 14 digits when they become text: the text of the later time is kept, not its number.
if tonumber(last_seen(old)) > tonumber(last_seen(value)) then
  value = string.sub(value, 1, 19) .. last_seen(old) .. string.sub(value, 35)
end
redis.call('SET', entry, value, 'PX', ttl)
local before = index(old)
if before and before ~= index(value) then redis.call('SREM', before, key) end
enter(value, ttl)
return { 2, announce(channel, operation) }
