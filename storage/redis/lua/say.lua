-- KEYS: channels, one per word. ARGV: the publishing command, the words.

for number, channel in ipairs(KEYS) do
    redis.call(ARGV[1], channel, ARGV[number + 1])
end
