-- KEYS: any, for its place. Gives what the server says of itself and of its memory.

return redis.call('INFO', 'server') .. redis.call('INFO', 'memory')
