"""Counters on Redis: a key for each bucket that is not full, gone by itself when it is.

The time is that of Redis. Where it jumps forth, every bucket is full; where it jumps back, nobody
waits longer than for a whole one. The same holds for a failover, which may lose the last keys.
"""

from storage.bucket import Rate
from storage.redis.link import Link
from storage.redis.scripts import Script

TAKE, GIVE_BACK = Script("take"), Script("give_back")
SECOND = 1_000_000  # what the scripts count in


class RedisCounters:
    """See `storage.counters.Counters`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, name: str, rate: Rate) -> float:
        """One step of Redis."""
        wait = await self._link.call(TAKE, [self._key(name)], [_one(rate), rate.burst])
        return float(wait) / SECOND

    async def give_back(self, name: str, rate: Rate) -> None:
        """Likewise."""
        await self._link.call(GIVE_BACK, [self._key(name)], [_one(rate)])

    def _key(self, name: str) -> str:
        return self._link.names.of("rate", name)


def _one(rate: Rate) -> int:
    return max(1, round(rate.interval_s * SECOND))
