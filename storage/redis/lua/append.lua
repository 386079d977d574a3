-- KEYS: meta and entries of each conversation.
-- ARGV: entries, age and idle of the retention, ended sources to remember, the publishing command;
--       then for each conversation its channel and how many appends; then those appends:
--       source, fence, ordinal, epoch and seq that the writer knows, what it ends, body.
-- Gives for each append {repeated or not, seq} or {reason, epoch, head, last}.

local MOST, AGE, IDLE = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local REMEMBERED, PUBLISH = tonumber(ARGV[4]), ARGV[5]
local SEARCHED = 64

local life, now = life_of_server(), clock_ms()
local place = 6
local results = {}

local function append_to(meta, entries, channel, count)
    local first = ARGV[place]
    local fields = redis.call('HMGET', meta, 'e', 'g', 'h', 'o', 'a', 's:' .. first)
    local epoch = epoch_of(entries, fields, life)
    local head, oldest, since = tonumber(fields[3]), tonumber(fields[4]), tonumber(fields[5])
    local began_at = head
    local sources, changed = { [first] = source_of(fields[6]) or false }, {}
    local pins, ended
    local repin, reend = false, false
    local told = {}
    local lowest = {} -- of a source: the least ordinal that is stored, if that was searched for

    local function source(name)
        if sources[name] == nil then
            sources[name] = source_of(redis.call('HGET', meta, 's:' .. name)) or false
        end
        return sources[name]
    end

    local function pinned()
        pins = pins or packed(redis.call('HGET', meta, 'p'))
        return pins
    end

    local function refuse(reason, from)
        return { reason, epoch, head, from and from.last or 0 }
    end

    local function finish(name)
        local from = source(name)
        if not from then
            from = { fence = 0, last = 0, finish = 0 }
            sources[name] = from
        end
        if from.finish > 0 then
            return
        end
        from.finish = head
        changed[name] = from
        if pinned()[name] then
            pins[name] = nil
            repin = true
        end
        ended = ended or packed(redis.call('HGET', meta, 'd'))
        ended[#ended + 1] = name
        reend = true
        if #ended > REMEMBERED then
            local gone = table.remove(ended, 1)
            sources[gone], changed[gone] = false, nil
            redis.call('HDEL', meta, 's:' .. gone)
        end
    end

    local function stored_seq(name, ordinal, last)
        if ordinal < (lowest[name] or 0) then
            return nil
        end
        local upto, least = '+', last + 1
        while true do
            local page = redis.call('XREVRANGE', entries, upto, '-', 'COUNT', SEARCHED)
            for _, entry in ipairs(page) do
                if entry[2][2] == name then
                    least = tonumber(entry[2][4])
                    if least == ordinal then
                        return tonumber(string.match(entry[1], '^%d+'))
                    end
                end
            end
            if #page < SEARCHED then
                lowest[name] = least
                return nil
            end
            upto = '(' .. page[#page][1]
        end
    end

    local function append(name, fence, ordinal, seen_epoch, seen, ends, body)
        if not epoch then
            return { 'epoch', '', 0, 0 }
        end
        local from = source(name)
        if seen_epoch ~= epoch then
            return refuse('epoch', from)
        elseif seen > head then
            return refuse('rolled_back', from)
        elseif not from or from.fence ~= fence then
            return refuse('fenced', from)
        elseif from.finish > 0 and ends == name then
            return { 1, from.finish }
        elseif ordinal <= from.last then
            local seq = stored_seq(name, ordinal, from.last)
            return seq and { 1, seq } or refuse('forgotten', from)
        elseif from.finish > 0 then
            return refuse('ended', from)
        elseif ordinal > from.last + 1 then
            return refuse('gap', from)
        end
        head = head + 1
        local number = whole(ordinal)
        redis.call('XADD', entries, whole(head) .. '-0', 's', name, 'n', number, 't', whole(now), 'b', body)
        since = since or now
        from.last = ordinal
        changed[name] = from
        if name ~= '*' and ordinal == 1 then
            pinned()[name] = head - 1
            repin = true
        end
        if ends ~= '' then
            finish(ends)
        end
        told[#told + 1] = '\148' .. cmsgpack.pack(head) .. cmsgpack.pack(name) .. cmsgpack.pack(ordinal)
            .. '\198' .. struct.pack('>I4', #body) .. body
        return { 0, head }
    end

    local function kept_after()
        local least = head
        for _, seq in pairs(pinned()) do
            least = math.min(least, seq)
        end
        return least
    end

    local function aged_until()
        local until_seq, from = oldest, '-'
        while true do
            local page = redis.call('XRANGE', entries, from, '+', 'COUNT', SEARCHED)
            for _, entry in ipairs(page) do
                if now - tonumber(entry[2][6]) <= AGE then
                    return until_seq
                end
                until_seq = tonumber(string.match(entry[1], '^%d+'))
            end
            if #page < SEARCHED then
                return until_seq
            end
            from = '(' .. page[#page][1]
        end
    end

    local function trim()
        local many = MOST > 0 and head - oldest > MOST
        local old = AGE > 0 and since and now - since > AGE
        if not (many or old) then
            return
        end
        local most = kept_after()
        if most <= oldest then
            return
        end
        local target = many and head - MOST or oldest
        if old then
            target = math.max(target, aged_until())
        end
        target = math.min(target, most)
        if target > oldest then
            redis.call('XTRIM', entries, 'MINID', whole(target + 1) .. '-0')
            oldest = target
            local left = redis.call('XRANGE', entries, '-', '+', 'COUNT', 1)[1]
            since = left and tonumber(left[2][6]) or nil
        end
    end

    for _ = 1, count do
        results[#results + 1] = append(
            ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2]), ARGV[place + 3],
            tonumber(ARGV[place + 4]), ARGV[place + 5], ARGV[place + 6]
        )
        place = place + 7
    end
    if not epoch then
        return
    end
    if head > began_at then
        trim()
        local fresh = { 'h', whole(head), 'o', whole(oldest), 'a', since and whole(since) or '' }
        for name, each in pairs(changed) do
            fresh[#fresh + 1] = 's:' .. name
            fresh[#fresh + 1] = text_of(each)
        end
        if repin then
            fresh[#fresh + 1] = 'p'
            fresh[#fresh + 1] = cmsgpack.pack(pins)
        end
        if reend then
            fresh[#fresh + 1] = 'd'
            fresh[#fresh + 1] = cmsgpack.pack(ended)
        end
        set(meta, fresh)
    end
    keep(meta, entries, IDLE)
    if #told > 0 then
        local many = '\221' .. struct.pack('>I4', #told)
        redis.call(PUBLISH, channel, '\146' .. cmsgpack.pack(epoch) .. many .. table.concat(told))
    end
end

for number = 1, #KEYS, 2 do
    local channel, count = ARGV[place], tonumber(ARGV[place + 1])
    place = place + 2
    append_to(KEYS[number], KEYS[number + 1], channel, count)
end
return results
