-- KEYS: a bucket. ARGV: microseconds for one, how many at once.
-- Gives how many microseconds to wait; 0: one was taken.
--
-- The bucket is the moment at which it is full again, and a key that is gone is a full one.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local one, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = one * burst
local full_at = tonumber(redis.call('GET', KEYS[1])) or now

-- Further ahead than a whole bucket it lies only if the clock was set back.
local taken = math.min(math.max(full_at, now), now + whole) + one
if taken > now + whole then
    return taken - now - whole
end
redis.call('SET', KEYS[1], string.format('%.0f', taken), 'PX', math.ceil((taken - now) / 1000))
return 0
