-- What all scripts of logs share. A log is a hash, here `meta`, and a stream, here `entries`.
--
-- meta: e epoch, g life of the server it was opened in, h head, o the seq after which all is stored,
--       a when the oldest entry came, k when an append put its end off, p pins (source to seq),
--       d ended sources in the order of their end, and a field `s:<source>` each: fence, last
--       ordinal, end (0: none).

local function whole(number)
    -- By itself Lua writes 14 digits, and does that three times as fast.
    return number < 1e14 and tostring(number) or string.format('%.0f', number)
end

-- A restart, and the promotion of a replica, begin another life: the log may have gone back then.
local function life_of_server()
    return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end

-- Somebody else may have put something there, which whoever opens an epoch deletes. It must not
-- fail a call that is about others' logs too.
local function no_epoch(reply)
    local why = type(reply) == 'table' and reply.err
    if why and not string.find(why, '^WRONGTYPE') then
        error(why)
    end
    return false
end

-- The epoch that is open, if one is: opened in this life, and with all its entries, which a server
-- short of memory may have given up without the rest. `fields` begins with e, g, h and o, and is
-- asked for by `pcall`: of a key that is no hash it has none.
local function epoch_of(entries, fields, life)
    if fields[2] ~= life then
        return no_epoch(fields)
    end
    local length = redis.pcall('XLEN', entries)
    return length == tonumber(fields[3]) - tonumber(fields[4]) and fields[1] or no_epoch(length)
end

local function clock_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- So much longer a log may live than it must (a minute for each hour), so that not each append has
-- to put its end off.
local function slack(idle)
    return math.floor(idle / 3600000) * 60000
end

-- A server that stores nothing for now is read nevertheless.
local function keep(meta, entries, idle)
    if idle > 0 then
        local left = whole(idle + slack(idle) + 1)
        redis.pcall('PEXPIRE', meta, left)
        redis.pcall('PEXPIRE', entries, left)
    end
end

-- In portions, for the stack takes no more than some thousand.
local function set(meta, fields)
    for first = 1, #fields, 1000 do
        redis.call('HSET', meta, unpack(fields, first, math.min(first + 999, #fields)))
    end
end

local function packed(text)
    return text and cmsgpack.unpack(text) or {}
end

local function source_of(text)
    if not text then
        return nil
    end
    local fence, last, finish = string.match(text, '^(%d+) (%d+) (%d+)$')
    return { fence = tonumber(fence), last = tonumber(last), finish = tonumber(finish) }
end

local function text_of(source)
    return whole(source.fence) .. ' ' .. whole(source.last) .. ' ' .. whole(source.finish)
end
