-- KEYS: meta and entries of each conversation.
-- ARGV: entries, age and idle of the retention, ended sources to remember, the publishing command,
--       packed: for each conversation its channel and its appends, each
--       [source, fence, ordinal, epoch and seq that the writer knows, what it ends];
--       then the entries of all appends.
-- Gives for each append {repeated or not, seq} or {reason, epoch, head, last}.
--
-- An entry is packed by its writer, [source, ordinal, body], and goes as it is to the stream, behind
-- the time at which it came, and to those who follow.

local MOST, AGE, IDLE = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local REMEMBERED, PUBLISH = tonumber(ARGV[4]), ARGV[5]
local SLACK = slack(IDLE)
local TIME_DIGITS, SEARCHED = 13, 64

local life, now = life_of_server(), clock_ms()
local came = string.format('%013.0f', now)

local function seq_of(entry)
    return tonumber(string.match(entry[1], '^%d+'))
end

local function came_at(entry)
    return tonumber(string.sub(entry[2][2], 1, TIME_DIGITS))
end

local function source(log, name)
    if log.sources[name] == nil then
        log.sources[name] = source_of(redis.call('HGET', log.meta, 's:' .. name)) or false
    end
    return log.sources[name]
end

local function pins(log)
    log.pins = log.pins or packed(redis.call('HGET', log.meta, 'p'))
    return log.pins
end

local function pin(log, name, seq)
    pins(log)[name] = seq
    log.pinned = true
end

local function forget_longest_ended(log)
    local gone = table.remove(log.ended, 1)
    log.sources[gone], log.changed[gone] = false, nil
    redis.call('HDEL', log.meta, 's:' .. gone)
end

local function finish(log, name)
    local from = source(log, name)
    if not from then
        from = { fence = 0, last = 0, finish = 0 }
        log.sources[name] = from
    elseif from.finish > 0 then
        return
    end
    from.finish = log.head
    log.changed[name] = from
    if pins(log)[name] then
        pin(log, name, nil)
    end
    log.ended = log.ended or packed(redis.call('HGET', log.meta, 'd'))
    log.ended[#log.ended + 1] = name
    if #log.ended > REMEMBERED then
        forget_longest_ended(log)
    end
end

local function stored_seq(log, name, ordinal, last)
    -- What was searched for in vain once is not searched for again.
    if ordinal < (log.lowest[name] or 0) then
        return nil
    end
    local upto, least = '+', last + 1
    while true do
        local page = redis.call('XREVRANGE', log.entries, upto, '-', 'COUNT', SEARCHED)
        for _, entry in ipairs(page) do
            -- Behind the byte that begins the list; the body is of a type that is not known here.
            local _, its_source, its_ordinal = cmsgpack.unpack_limit(entry[2][2], 2, TIME_DIGITS + 1)
            if its_source == name then
                least = its_ordinal
                if least == ordinal then
                    return seq_of(entry)
                end
            end
        end
        if #page < SEARCHED then
            log.lowest[name] = least
            return nil
        end
        upto = '(' .. page[#page][1]
    end
end

local function refuse(log, reason, from)
    return { reason, log.epoch, log.head, from and from.last or 0 }
end

local function append(log, entry, name, fence, ordinal, epoch, seen, ends)
    local from = source(log, name)
    if epoch ~= log.epoch then
        return refuse(log, 'epoch', from)
    elseif seen > log.head then
        return refuse(log, 'rolled_back', from)
    elseif not from or from.fence ~= fence then
        return refuse(log, 'fenced', from)
    elseif from.finish > 0 and ends == name then
        return { 1, from.finish }
    elseif ordinal <= from.last then
        local seq = stored_seq(log, name, ordinal, from.last)
        return seq and { 1, seq } or refuse(log, 'forgotten', from)
    elseif from.finish > 0 then
        return refuse(log, 'ended', from)
    elseif ordinal > from.last + 1 then
        return refuse(log, 'gap', from)
    end
    local head = log.head + 1
    log.head = head
    redis.call('XADD', log.entries, whole(head) .. '-0', 'b', came .. entry)
    log.since = log.since or now
    from.last = ordinal
    log.changed[name] = from
    if ordinal == 1 and name ~= '*' then
        pin(log, name, head - 1)
    end
    if ends ~= '' then
        finish(log, ends)
    end
    log.told[#log.told + 1] = '\146' .. cmsgpack.pack(head) .. entry
    return { 0, head }
end

local function kept_after(log)
    local least = log.head
    for _, seq in pairs(pins(log)) do
        least = math.min(least, seq)
    end
    return least
end

local function aged_until(log)
    local until_seq, from = log.oldest, '-'
    while true do
        local page = redis.call('XRANGE', log.entries, from, '+', 'COUNT', SEARCHED)
        for _, entry in ipairs(page) do
            if now - came_at(entry) <= AGE then
                return until_seq
            end
            until_seq = seq_of(entry)
        end
        if #page < SEARCHED then
            return until_seq
        end
        from = '(' .. page[#page][1]
    end
end

local function trim(log)
    local many = MOST > 0 and log.head - log.oldest > MOST
    local old = AGE > 0 and log.since and now - log.since > AGE
    if not (many or old) then
        return
    end
    local target = many and log.head - MOST or log.oldest
    local most = kept_after(log)
    if old and most > log.oldest then
        target = math.max(target, aged_until(log))
    end
    target = math.min(target, most)
    if target > log.oldest then
        redis.call('XTRIM', log.entries, 'MINID', whole(target + 1) .. '-0')
        log.oldest = target
        local left = redis.call('XRANGE', log.entries, '-', '+', 'COUNT', 1)[1]
        log.since = left and came_at(left) or nil
    end
end

local function put_off_its_end(log)
    -- Nothing could put off the end of a stream before there was one.
    if IDLE > 0 and (not log.kept or now - log.kept >= SLACK) then
        keep(log.meta, log.entries, IDLE)
        log.kept = now
    end
end

local function write_back(log)
    local since, kept = log.since and whole(log.since) or '', log.kept and whole(log.kept) or ''
    local fresh = { 'h', whole(log.head), 'o', whole(log.oldest), 'a', since, 'k', kept }
    for name, each in pairs(log.changed) do
        fresh[#fresh + 1] = 's:' .. name
        fresh[#fresh + 1] = text_of(each)
    end
    if log.pinned then
        fresh[#fresh + 1] = 'p'
        fresh[#fresh + 1] = cmsgpack.pack(log.pins)
    end
    if log.ended then
        fresh[#fresh + 1] = 'd'
        fresh[#fresh + 1] = cmsgpack.pack(log.ended)
    end
    set(log.meta, fresh)
end

local function publish(log, channel)
    local many = '\221' .. struct.pack('>I4', #log.told)
    redis.call(PUBLISH, channel, '\146' .. cmsgpack.pack(log.epoch) .. many .. table.concat(log.told))
end

local results, place = {}, 6
for number, asked in ipairs(cmsgpack.unpack(ARGV[6])) do
    local meta, entries = KEYS[2 * number - 1], KEYS[2 * number]
    local appends = asked[2]
    local first = appends[1][1]
    local fields = redis.pcall('HMGET', meta, 'e', 'g', 'h', 'o', 'a', 'k', 's:' .. first)
    local epoch = epoch_of(entries, fields, life)
    if not epoch then
        for _ = 1, #appends do
            results[#results + 1] = { 'epoch', '', 0, 0 }
        end
        place = place + #appends
    else
        local log = {
            meta = meta, entries = entries, epoch = epoch, head = tonumber(fields[3]),
            oldest = tonumber(fields[4]), since = tonumber(fields[5]), told = {}, changed = {}, lowest = {},
            kept = tonumber(fields[6]), sources = { [first] = source_of(fields[7]) or false },
        }
        for _, each in ipairs(appends) do
            place = place + 1
            results[#results + 1] = append(log, ARGV[place], unpack(each))
        end
        if #log.told > 0 then
            trim(log)
            put_off_its_end(log)
            write_back(log)
            publish(log, asked[1])
        end
    end
end
return results
