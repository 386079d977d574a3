"""What the suite runs over: one harness per implementation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest

from storage.bus import Bus
from storage.memory.bus import Line, MemoryBus


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
    """Three buses on one line."""

    def __init__(self) -> None:
        line = Line()
        self.one: Bus = MemoryBus(line)
        self.other: Bus = MemoryBus(line)
        self.third: Bus = MemoryBus(line)

    async def settle(self) -> None:
        await asyncio.sleep(0)


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    yield MemoryHarness()


HARNESSES: dict[str, Opens] = {"memory": memory}
