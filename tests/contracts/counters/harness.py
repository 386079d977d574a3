"""What the suite runs over: one harness per implementation."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest

from storage.counters import Counters
from storage.memory.counters import MemoryCounters


class Harness(Protocol):
    """Counters without a name in them, by two ways, and a time that a test moves."""

    one: Counters
    other: Counters  # another client of the same ones

    async def pass_time(self, name: str, seconds: float) -> None:
        """Let that much time pass for a name."""


Opens = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]


class MemoryHarness:
    """One process has one set of counters, so both clients are the same object."""

    def __init__(self) -> None:
        self._now = 100.0
        self.one: Counters = MemoryCounters(100, lambda: self._now)
        self.other: Counters = self.one

    async def pass_time(self, name: str, seconds: float) -> None:
        self._now += seconds


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    yield MemoryHarness()
