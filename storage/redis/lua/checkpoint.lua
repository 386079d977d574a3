-- KEYS: meta and entries of each conversation.
-- ARGV: idle; then for each conversation how many checkpoints; then those: source, epoch, seq.

local idle, life, place = tonumber(ARGV[1]), life_of_server(), 2
for number = 1, #KEYS, 2 do
    local meta, entries, count = KEYS[number], KEYS[number + 1], tonumber(ARGV[place])
    place = place + 1
    local fields = redis.pcall('HMGET', meta, 'e', 'g', 'h', 'o', 'p')
    local epoch, pins, moved = epoch_of(entries, fields, life), packed(fields[5]), false
    for _ = 1, count do
        local source, seq = ARGV[place], math.min(tonumber(ARGV[place + 2]), tonumber(fields[3]) or 0)
        if epoch and ARGV[place + 1] == epoch and pins[source] and pins[source] < seq then
            pins[source] = seq
            moved = true
        end
        place = place + 3
    end
    if moved then
        redis.call('HSET', meta, 'p', cmsgpack.pack(pins))
    end
    if epoch then
        keep(meta, entries, idle)
    end
end
