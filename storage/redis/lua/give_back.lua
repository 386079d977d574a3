-- KEYS: a bucket. ARGV: microseconds for one.

local full_at = tonumber(redis.call('GET', KEYS[1]))
if full_at then
    local left = redis.call('PTTL', KEYS[1]) - math.floor(ARGV[1] / 1000)
    if left > 0 then
        redis.call('SET', KEYS[1], string.format('%.0f', full_at - ARGV[1]), 'PX', left)
    else
        redis.call('DEL', KEYS[1])
    end
end
