-- KEYS: the seats of who asks, then those of each other instance. ARGV: how long they stay; then for
-- each person their name, and how many seats they have with what there is to say of them, or ''.
-- Gives how many persons have seats with who asks, then of each how many there are at the others.

local own = KEYS[1]
local counts = { 0 }

for place = 2, #ARGV, 2 do
    if ARGV[place + 1] == '' then
        redis.call('HDEL', own, ARGV[place])
    else
        redis.call('HSET', own, ARGV[place], ARGV[place + 1])
    end
    local count = 0
    for number = 2, #KEYS do
        local seats = redis.call('HGET', KEYS[number], ARGV[place])
        if seats then
            count = count + tonumber(string.match(seats, '^%d+'))
        end
    end
    counts[#counts + 1] = count
end
redis.call('PEXPIRE', own, ARGV[1])
counts[1] = redis.call('HLEN', own)
return counts
