-- KEYS: until when each lease stands, and what its holder says. ARGV: a lease, or '' to look only;
-- for how long it is renewed, 0: it ends; what its holder says. Gives each that stands, and its word.

local leases, words, lease = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function over(each)
    redis.call('ZREM', leases, each)
    redis.call('HDEL', words, each)
end

for _, each in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.0f', now))) do
    over(each)
end
if lease ~= '' and ARGV[2] == '0' then
    over(lease)
elseif lease ~= '' then
    redis.call('ZADD', leases, string.format('%.0f', now + ARGV[2]), lease)
    redis.call('HSET', words, lease, ARGV[3])
end
return redis.call('HGETALL', words)
