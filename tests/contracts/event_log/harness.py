"""What the suites run over: one harness per implementation.

A harness does to the store what no client may do; everything else goes through the interface.
"""

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest

from protocol.types import Id
from storage.log import Delivery, Entry, EventLog, Live, Retention
from storage.memory.log import MemoryLog


class Harness(Protocol):
    """An empty log, two clients of it, and what may happen to a store."""

    one: EventLog
    other: EventLog  # another client of the same log, as independent as can be

    async def pass_time(self, ms: int) -> None:
        """Lets that much time pass for the log's retention."""

    async def save(self, conversation: Id) -> object:
        """What the store holds of the conversation, for `restore`."""

    async def restore(self, conversation: Id, saved: object) -> None:
        """Rolls the conversation back to what was saved; the store itself notices nothing."""

    async def lose(self, conversation: Id) -> None:
        """Loses all of the conversation, as by a flush or an eviction; nobody is told."""

    async def settle(self) -> None:
        """Returns once what is published has reached the sinks."""


Opens = Callable[[pytest.FixtureRequest, Retention], AbstractAsyncContextManager[Harness]]


class MemoryHarness:
    """One process has one log, so both clients are the same object."""

    def __init__(self, retention: Retention) -> None:
        self._now = 0
        self._log = MemoryLog(retention, clock=lambda: self._now)
        self.one: EventLog = self._log
        self.other: EventLog = self._log

    async def pass_time(self, ms: int) -> None:
        self._now += ms

    async def save(self, conversation: Id) -> object:
        return copy.deepcopy(self._log._lives[conversation])

    async def restore(self, conversation: Id, saved: object) -> None:
        self._log._lives[conversation] = copy.deepcopy(saved)  # type: ignore[assignment]  # opaque to all but `save`

    async def lose(self, conversation: Id) -> None:
        self._log._lives.pop(conversation, None)

    async def settle(self) -> None:
        """Sinks run inside `append`."""


@asynccontextmanager
async def memory(_: pytest.FixtureRequest, retention: Retention) -> AsyncIterator[Harness]:
    yield MemoryHarness(retention)


class Mailbox:
    """A sink that keeps what it is given, for a test to look at, drop, double or reorder."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def entries(self) -> list[Entry]:
        """All entries delivered, as they came."""
        return [
            entry for each in self.deliveries if isinstance(each, Live) for entry in each.entries
        ]
