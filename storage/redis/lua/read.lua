-- KEYS: meta, entries. ARGV: epoch, seq, limit (0: only say how it stands).
-- Gives {'', head, rows, entries} or {reason, epoch, head, oldest}.

local fields = redis.pcall('HMGET', KEYS[1], 'e', 'g', 'h', 'o', 's:*')
local epoch = epoch_of(KEYS[2], fields, life_of_server())
if not epoch then
    return { 'no_log', '', 0, 0 }
end
local head, oldest, after = tonumber(fields[3]), tonumber(fields[4]), tonumber(ARGV[2])
if epoch ~= ARGV[1] then
    return { 'epoch', epoch, head, oldest }
elseif after > head then
    return { 'ahead', epoch, head, oldest }
elseif after < oldest then
    return { 'trimmed', epoch, head, oldest }
end
local rows = source_of(fields[5]).last
if after == head or ARGV[3] == '0' then
    return { '', head, rows, {} }
end
return { '', head, rows, redis.call('XRANGE', KEYS[2], '(' .. whole(after) .. '-0', '+', 'COUNT', ARGV[3]) }
