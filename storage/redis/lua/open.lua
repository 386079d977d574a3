-- KEYS: meta, entries. ARGV: the epoch to replace ('': none), a new one, the rows before it, idle,
-- the publishing command, the channel; then unfinished answers and their fences.
-- Gives {epoch, head} of where the log stands now, or nothing.

local meta, entries = KEYS[1], KEYS[2]
local idle = tonumber(ARGV[4])
local life = life_of_server()
local fields = redis.pcall('HMGET', meta, 'e', 'g', 'h', 'o')
local epoch = epoch_of(entries, fields, life) or ''
if epoch == ARGV[1] then
    redis.call('DEL', meta, entries)
    local fresh = { 'e', ARGV[2], 'g', life, 'h', '0', 'o', '0', 's:*', '0 ' .. ARGV[3] .. ' 0' }
    for place = 7, #ARGV, 2 do
        fresh[#fresh + 1] = 's:' .. ARGV[place]
        fresh[#fresh + 1] = ARGV[place + 1] .. ' 0 0'
    end
    set(meta, fresh)
    keep(meta, entries, idle)
    redis.call(ARGV[5], ARGV[6], '\192')
    return { ARGV[2], 0 }
end
if epoch == '' then
    return false
end
keep(meta, entries, idle)
return { epoch, tonumber(fields[3]) }
