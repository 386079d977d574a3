-- KEYS: records, out, used. ARGV: name. Gives {whether it was used before, value}, or {}.

local name = ARGV[1]
local now_us = clock_us()
local now = math.floor(now_us / 1000)

forget_old(now)
local record = record_of(name)
if not record then
    return {}
end
if record[3] <= now then
    forget_used(name)
    return {}
end
if redis.call('ZSCORE', used, name) then
    return { 1, record[1] }
end
take_back(name, record, now)
redis.call('ZADD', used, whole(now_us), name)
return { 0, record[1] }
