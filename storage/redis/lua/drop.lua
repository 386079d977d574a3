-- KEYS: meta and entries of each conversation. ARGV: the publishing command, their channels.

redis.call('DEL', unpack(KEYS))
for number = 2, #ARGV do
    redis.call(ARGV[1], ARGV[number], '\192')
end
