-- What the scripts of tickets share.
--
-- records: `r:<name>` is {value, holder, when it ends}, `h:<holder>` when each of those ends that are
--          out, the oldest first, and `g` the life of the server they were put in.
-- out: names by when they end. used: names of those taken, by when they were, in microseconds.

local records, out, used = KEYS[1], KEYS[2], KEYS[3]

local function whole(number)
    return string.format('%.0f', number)
end

local function clock_us()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

local function record_of(name)
    local text = redis.call('HGET', records, 'r:' .. name)
    return text and cmsgpack.unpack(text)
end

local function ends_of(holder, now)
    local text = redis.call('HGET', records, 'h:' .. holder)
    local ends = {}
    for _, each in ipairs(text and cmsgpack.unpack(text) or {}) do
        if each > now then
            ends[#ends + 1] = each
        end
    end
    return ends
end

local function hold(holder, ends)
    if #ends > 0 then
        redis.call('HSET', records, 'h:' .. holder, cmsgpack.pack(ends))
    else
        redis.call('HDEL', records, 'h:' .. holder)
    end
end

-- It is out no more.
local function take_back(name, record, now)
    redis.call('ZREM', out, name)
    local ends = ends_of(record[2], now)
    for place, each in ipairs(ends) do
        if each == record[3] then
            table.remove(ends, place)
            break
        end
    end
    hold(record[2], ends)
end

-- What has ended goes. A server that restarted, or was promoted, may have gone back to before a
-- ticket was taken, so what another life has put counts for nothing.
local function forget_old(now)
    local life = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
    if redis.call('HGET', records, 'g') ~= life then
        redis.call('DEL', records, out, used)
        redis.call('HSET', records, 'g', life)
    end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', out, '-inf', whole(now))) do
        take_back(name, record_of(name), now)
        redis.call('HDEL', records, 'r:' .. name)
    end
end

local function forget_used(name)
    redis.call('ZREM', used, name)
    redis.call('HDEL', records, 'r:' .. name)
end
