-- KEYS: records, out, used. ARGV: name, value, holder, life, most, most of the holder.
-- Gives {} if it is kept, else {whether it is the holder's doing, how long to wait}.

local name, value, holder = ARGV[1], ARGV[2], ARGV[3]
local life, most, most_of_holder = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now_us = clock_us()
local now = math.floor(now_us / 1000)

forget_old(now)
for _, each in ipairs(redis.call('ZRANGEBYSCORE', used, '-inf', whole(now_us - life * 1000))) do
    forget_used(each)
end
for _, each in ipairs(redis.call('ZRANGE', used, 0, -1 - most)) do
    forget_used(each)
end
local ends = ends_of(holder, now)
if #ends >= most_of_holder then
    return { 1, ends[1] - now }
end
if redis.call('ZCARD', out) >= most then
    local oldest = redis.call('ZRANGE', out, 0, 0, 'WITHSCORES')
    return { 0, oldest[2] - now }
end
redis.call('HSET', records, 'r:' .. name, cmsgpack.pack({ value, holder, now + life }))
redis.call('ZADD', out, whole(now + life), name)
ends[#ends + 1] = now + life
hold(holder, ends)
for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, whole(2 * life))
end
return {}
