"""What the suite runs over: one harness per implementation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Protocol

import pytest

from storage.bus import Bus
from storage.memory.bus import MemoryBus, Switchboard
from storage.redis.bus import RedisBus
from storage.redis.link import Link, open_link
from storage.redis.options import Options
from tests.contracts.redises import over_redis
from tests.support.waiting import until

PROBES = [f"probe-{number}" for number in range(24)]  # enough that each node has some of them

_runs = count(1)


class Harness(Protocol):
    """Three instances, and nobody else."""

    one: Bus
    other: Bus
    third: Bus

    async def settle(self) -> None:
        """Returns once all listens count, and what was said before has been heard.

        What ears have said meanwhile is on its way by then, and needs settling again.
        """


Opens = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]


class MemoryHarness:
    """Three buses on one switchboard."""

    def __init__(self) -> None:
        switchboard = Switchboard()
        self.one: Bus = MemoryBus(switchboard)
        self.other: Bus = MemoryBus(switchboard)
        self.third: Bus = MemoryBus(switchboard)

    async def settle(self) -> None:
        await asyncio.sleep(0)


class RedisHarness:
    """Three links. Probes go to every node behind whatever was said before."""

    def __init__(self, links: list[Link]) -> None:
        self._links = links
        self._buses = [RedisBus(link) for link in links]
        self.one, self.other, self.third = self.buses = list[Bus](self._buses)
        self._heard = 0
        for bus in self._buses:
            for probe in PROBES:
                bus.listen(probe, self._hear)

    async def settle(self) -> None:
        for link in self._links:
            for line in list(link.ears._lines.values()):
                for channel in [each for each in line.channels.values() if each.receivers]:
                    await channel.sure.wait()
        await until(lambda: not any(bus._waiting for bus in self._buses))
        self._heard = 0
        for bus in self._buses:
            for probe in PROBES:
                bus.say(probe, b"probe")
        awaited = len(PROBES) * len(self._buses) * (len(self._buses) - 1)
        await until(lambda: self._heard == awaited)

    def _hear(self, _: bytes) -> None:
        self._heard += 1


@asynccontextmanager
async def _over(url: str) -> AsyncIterator[Harness]:
    options = Options(prefix=f"bus-{next(_runs)}", timeout_s=30.0)
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(open_link(url, options)) for _ in range(3)]
        harness = RedisHarness(links)
        carrying = [asyncio.create_task(bus.run()) for bus in harness._buses]
        yield harness
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    yield MemoryHarness()


HARNESSES: dict[str, Opens] = {"memory": memory, **over_redis(_over)}
