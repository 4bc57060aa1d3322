-- Before every script. KEYS[1] is the entry, KEYS[2] the deadlines of its shard, ARGV[1] its key in those sets and
-- ARGV[2] what the names of the shard's user indexes begin with: all in one slot. The layout is codec.rs's.
local entry, deadlines, key, users = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local function version(value) return string.sub(value, 2, 11) end
local function writer(value) return string.sub(value, 12, 19) end
local function last_seen(value) return string.sub(value, 20, 34) end
local function deadline(value) return string.sub(value, 35, 49) end

-- The name of the index that lists this entry, or nil: aliases and sessions of nobody are in none.
local function index(value)
  if string.sub(value, 50, 50) ~= 'u' then return nil end
  return users .. string.sub(value, 57, 56 + tonumber(string.sub(value, 51, 56)))
end

-- The value without its end, or nil when there is none or a tombstone.
local function head(name)
  local value = redis.call('GETRANGE', name, 0, 55)
  if string.sub(value, 1, 1) ~= '1' then return nil end
  local length = tonumber(string.sub(value, 51, 56))
  return length == 0 and value or redis.call('GETRANGE', name, 0, 55 + length)
end

-- Makes a key live at least so long, and never shorter than it would have.
local function keep(name, ttl)
  if redis.call('PTTL', name) < tonumber(ttl) then redis.call('PEXPIRE', name, ttl) end
end

local function enter(value, ttl)
  redis.call('ZADD', deadlines, deadline(value), key)
  keep(deadlines, ttl)
  local user = index(value)
  if user then
    redis.call('SADD', user, key)
    keep(user, ttl)
  end
end

local function strike(value)
  redis.call('ZREM', deadlines, key)
  local user = index(value)
  if user then redis.call('SREM', user, key) end
end

-- How many gateways are told. PUBLISH in a Cluster counts on one node only: there the channel is empty.
local function announce(channel, operation)
  if channel == '' then return 0 end
  return redis.call('PUBLISH', channel, operation .. key)
end

