"""What the suite runs over: one harness per implementation."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, Protocol

import pytest

from storage.memory.tickets import MemoryTickets
from storage.redis.link import Link, open_link
from storage.redis.options import Options
from storage.redis.tickets import RedisTickets
from storage.tickets import TicketStore
from tests.contracts.redises import over_redis

# All that is kept ends that much earlier; the server's own clock cannot be set.
AGE = """
local records, out, used, ms = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
for _, name in ipairs(redis.call('ZRANGE', out, 0, -1)) do
    redis.call('ZINCRBY', out, -ms, name)
end
for _, name in ipairs(redis.call('ZRANGE', used, 0, -1)) do
    redis.call('ZINCRBY', used, -ms * 1000, name)
end
local all = redis.call('HGETALL', records)
for place = 1, #all, 2 do
    local kind = string.sub(all[place], 1, 2)
    if kind == 'r:' or kind == 'h:' then
        local kept = cmsgpack.unpack(all[place + 1])
        for number, each in ipairs(kept) do
            if kind == 'h:' or number == 3 then kept[number] = each - ms end
        end
        redis.call('HSET', records, all[place], cmsgpack.pack(kept))
    end
end
for _, key in ipairs(KEYS) do
    local left = redis.call('PTTL', key)
    if left >= 0 then redis.call('PEXPIRE', key, math.max(0, left - ms)) end
end
"""

_runs = count(1)


class Harness(Protocol):
    """An empty store, and two instances' ways to it."""

    one: TicketStore
    other: TicketStore

    async def pass_time(self, ms: int) -> None:
        """Lets that much time pass; with real clocks a little more may."""

    async def restart(self) -> None:
        """The store may have gone back to where it was some time ago, and knows that it may."""

    async def size(self) -> int:
        """How many names it has something about."""


Opens = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]


class MemoryHarness:
    """One process has one store; it does not survive that."""

    def __init__(self) -> None:
        self._now = 0
        self._store = MemoryTickets(lambda: self._now)
        self.one: TicketStore = self._store
        self.other: TicketStore = self._store

    async def pass_time(self, ms: int) -> None:
        self._now += ms

    async def restart(self) -> None:
        self._store.__init__(lambda: self._now)  # type: ignore[misc]  # both clients begin anew

    async def size(self) -> int:
        return len(self._store._out) + len(self._store._used)


class RedisHarness:
    """Two links."""

    def __init__(self, one: Link, other: Link) -> None:
        self._link: Any = one
        self._one = RedisTickets(one)
        self.one: TicketStore = self._one
        self.other: TicketStore = RedisTickets(other)

    async def pass_time(self, ms: int) -> None:
        await self._link.ask_about(self._one._keys[0], "EVAL", AGE, 3, *self._one._keys, ms)

    async def restart(self) -> None:
        """As seen by who comes next: what is there was put in another life of the server."""
        await self._link.ask_about(
            self._one._keys[0], "HSET", self._one._keys[0], "g", "another life"
        )

    async def size(self) -> int:
        fields = await self._link.ask_about(self._one._keys[0], "HKEYS", self._one._keys[0])
        return sum(field.startswith(b"r:") for field in fields)


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    yield MemoryHarness()


@asynccontextmanager
async def _over(url: str) -> AsyncIterator[Harness]:
    options = Options(prefix=f"tickets-{next(_runs)}", timeout_s=30.0)
    async with open_link(url, options) as one, open_link(url, options) as other:
        yield RedisHarness(one, other)


HARNESSES: dict[str, Opens] = {"memory": memory, **over_redis(_over)}
