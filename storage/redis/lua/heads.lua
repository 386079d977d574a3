-- KEYS: meta and entries of each conversation. ARGV: idle; then for each whether this is a use.
-- Gives for each {epoch, head} or {}.

local idle, life = tonumber(ARGV[1]), life_of_server()
local heads = {}
for number = 1, #KEYS, 2 do
    local fields = redis.pcall('HMGET', KEYS[number], 'e', 'g', 'h', 'o')
    local epoch = epoch_of(KEYS[number + 1], fields, life)
    heads[#heads + 1] = epoch and { epoch, tonumber(fields[3]) } or {}
    if epoch and ARGV[(number + 1) / 2 + 1] == '1' then
        keep(KEYS[number], KEYS[number + 1], idle)
    end
end
return heads
