-- KEYS: the seats of each instance. ARGV: a person. Gives what each has of them, or ''.

local found = {}
for _, seats in ipairs(KEYS) do
    found[#found + 1] = redis.call('HGET', seats, ARGV[1]) or ''
end
return found
