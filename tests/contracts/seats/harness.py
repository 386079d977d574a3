"""What the suite runs over: one harness per implementation."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, Protocol

import pytest

from storage.memory.sessions import Hall, MemorySeats
from storage.redis.link import Link, open_link
from storage.redis.options import Options
from storage.redis.sessions import RedisSeats
from storage.sessions import Seats
from tests.contracts.redises import over_redis

_runs = count(1)


class Harness(Protocol):
    """Instances `one`, `other` and `third`, which have told nothing yet."""

    one: Seats
    other: Seats
    third: Seats

    async def pass_time(self, ms: int) -> None:
        """Lets that much time pass, in which no lease is renewed."""

    async def lose(self) -> bool:
        """Loses all that was told; False: it cannot be lost but with the process."""


Opens = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]


class MemoryHarness:
    """A hall with three instances."""

    def __init__(self) -> None:
        self._now = 1
        hall = Hall(lambda: self._now)
        self.one: Seats = MemorySeats("one", hall)
        self.other: Seats = MemorySeats("other", hall)
        self.third: Seats = MemorySeats("third", hall)

    async def pass_time(self, ms: int) -> None:
        self._now += ms

    async def lose(self) -> bool:
        return False


class RedisHarness:
    """Three links."""

    def __init__(self, links: list[Link], prefix: str) -> None:
        self._prefix = prefix
        self._client: Any = links[0]._client
        self._passed = 0.0
        clock = lambda: 1000.0 + self._passed  # noqa: E731 - it is one
        one, other, third = [
            RedisSeats(link, name, clock)
            for link, name in zip(links, ("one", "other", "third"), strict=True)
        ]
        self._leases = one._leases[0]
        self.one: Seats = one
        self.other: Seats = other
        self.third: Seats = third

    async def pass_time(self, ms: int) -> None:
        """Leases end that much earlier, and keys do."""
        self._passed += ms / 1000
        for lease in await self._client.zrange(self._leases, 0, -1):
            await self._client.zincrby(self._leases, -ms, lease)
        async for key in self._client.scan_iter(match=f"{self._prefix}:*"):
            left = await self._client.pttl(key)
            if left >= 0:
                await self._client.pexpire(key, max(0, left - ms))

    async def lose(self) -> bool:
        async for key in self._client.scan_iter(match=f"{self._prefix}:*"):
            await self._client.delete(key)
        return True


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    yield MemoryHarness()


@asynccontextmanager
async def _over(url: str) -> AsyncIterator[Harness]:
    options = Options(prefix=f"seats-{next(_runs)}", timeout_s=30.0)
    async with (
        open_link(url, options) as one,
        open_link(url, options) as other,
        open_link(url, options) as third,
    ):
        yield RedisHarness([one, other, third], options.prefix)


HARNESSES: dict[str, Opens] = {"memory": memory, **over_redis(_over)}
