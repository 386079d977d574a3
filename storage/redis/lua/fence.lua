-- KEYS: meta, entries. ARGV: epoch, source, fence, idle.
-- Gives {'', last, end} or {reason, epoch, head, last}.

local meta, entries = KEYS[1], KEYS[2]
local fence = tonumber(ARGV[3])
local name = 's:' .. ARGV[2]
local fields = redis.pcall('HMGET', meta, 'e', 'g', 'h', 'o', name)
local epoch = epoch_of(entries, fields, life_of_server())
if not epoch then
    return { 'epoch', '', 0, 0 }
end
keep(meta, entries, tonumber(ARGV[4]))
if epoch ~= ARGV[1] then
    return { 'epoch', epoch, tonumber(fields[3]), 0 }
end
local source = source_of(fields[5]) or { fence = fence, last = 0, finish = 0 }
if fence < source.fence then
    return { 'fenced', epoch, tonumber(fields[3]), source.last }
end
source.fence = fence
redis.call('HSET', meta, name, text_of(source))
return { '', source.last, source.finish }
