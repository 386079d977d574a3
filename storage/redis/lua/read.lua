-- KEYS: meta, entries. ARGV: epoch, seq, limit.
-- Gives {'', head, entries} or {reason, epoch, head, oldest}.

local fields = redis.call('HMGET', KEYS[1], 'e', 'g', 'h', 'o')
if fields[2] ~= life_of_server() then
    return { 'no_log', '', 0, 0 }
end
local epoch, head, oldest, after = fields[1], tonumber(fields[3]), tonumber(fields[4]), tonumber(ARGV[2])
if epoch ~= ARGV[1] then
    return { 'epoch', epoch, head, oldest }
elseif after > head then
    return { 'ahead', epoch, head, oldest }
elseif after < oldest then
    return { 'trimmed', epoch, head, oldest }
elseif after == head then
    return { '', head, {} }
end
local page = redis.call('XRANGE', KEYS[2], '(' .. whole(after) .. '-0', '+', 'COUNT', ARGV[3])
-- A server short of memory may have given up the entries and not their head.
if not page[1] or string.match(page[1][1], '^%d+') ~= whole(after + 1) then
    return { 'trimmed', epoch, head, head }
end
return { '', head, page }
