"""A log in memory whose replies and deliveries a test may lose, hold, double or shuffle."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from typing import TypeVar

from protocol.types import Epoch, Id, Position
from storage.errors import Unavailable
from storage.log import (
    Append,
    Appended,
    Checkpoint,
    Delivery,
    Following,
    Lost,
    Refusal,
    Refused,
    Registered,
    Sink,
    Slice,
)
from storage.memory.log import MemoryLog

T = TypeVar("T")
# Takes a delivery and hands on what comes of it, now or later.
Carry = Callable[[Delivery, Sink], None]


class Fault(Enum):
    """What becomes of an append."""

    NO_REPLY = auto()  # it was done, and nobody hears of it
    AWAY = auto()  # it was not done


class FaultyLog:
    """See `storage.log.EventLog`; without faults it is a MemoryLog."""

    def __init__(self, real: MemoryLog | None = None) -> None:
        """Several over one real log are what several instances have of it."""
        self.real = real or MemoryLog()
        self.appends: list[tuple[Append, ...]] = []  # as they were asked
        self.faults: deque[Fault | None] = deque()  # of the next appends
        self.away: set[str] = set()  # methods that raise Unavailable
        self.gone = False  # all of it is out of reach
        self.gate = asyncio.Event()  # appends wait for it
        self.gate.set()
        self.doors: dict[str, asyncio.Event] = {}  # methods that wait
        self.turns: Callable[[], int] = lambda: 0  # of the loop that a call takes, and its reply
        self.carry: Carry = lambda delivery, sink: sink(delivery)
        self.followed = 0  # subscriptions that are open

    async def append(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        """As asked, unless a fault is due."""
        self.appends.append(tuple(batch))
        await self.gate.wait()
        if self.gone:
            return [Refused(Refusal.UNAVAILABLE)] * len(batch)
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.AWAY:
            return [Refused(Refusal.UNAVAILABLE)] * len(batch)
        results = await self.real.append(batch)
        if fault is Fault.NO_REPLY:
            return [Refused(Refusal.UNAVAILABLE)] * len(batch)
        return results

    async def open(
        self, conversation: Id, instead_of: Epoch | None, rows: int, fences: Mapping[Id, int]
    ) -> Position | None:
        """Unless it is away."""
        await self._reach("open")
        return await self._reply(await self.real.open(conversation, instead_of, rows, fences))

    async def fence(
        self, conversation: Id, epoch: Epoch, source: Id, fence: int
    ) -> Registered | Refused:
        """Unless it is away."""
        await self._reach("fence")
        return await self._reply(await self.real.fence(conversation, epoch, source, fence))

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> None:
        """Unless it is away."""
        await self._reach("checkpoint")
        await self.real.checkpoint(batch)

    async def heads(self, conversations: Collection[Id]) -> Mapping[Id, Position | None]:
        """What is out of reach is left out."""
        if self.gone or "heads" in self.away:
            return {}
        await self._reach("heads")
        return await self._reply(await self.real.heads(conversations))

    @property
    def reachable(self) -> bool:
        """Unless all of it is away."""
        return not self.gone and "heads" not in self.away

    async def watched(self, conversations: Collection[Id]) -> Collection[Id]:
        """Unless it is away."""
        await self._reach("watched")
        return await self._reply(await self.real.watched(conversations))

    async def read(self, conversation: Id, after: Position, limit: int) -> Slice | Lost:
        """Unless it is away."""
        await self._reach("read")
        return await self._reply(await self.real.read(conversation, after, limit))

    async def follow(self, conversation: Id, sink: Sink) -> Following:
        """What is delivered goes through `carry`."""
        await self._reach("follow")
        self.followed += 1
        following = await self.real.follow(conversation, lambda what: self.carry(what, sink))
        return await self._reply(_Following(self, following))

    async def drop(self, conversations: Collection[Id]) -> None:
        """As asked."""
        await self.real.drop(conversations)

    async def _reach(self, method: str) -> None:
        for _ in range(self.turns()):
            await asyncio.sleep(0)
        if method in self.doors:
            await self.doors[method].wait()
        if self.gone or method in self.away:
            raise Unavailable("a test")

    async def _reply(self, reply: T) -> T:
        for _ in range(self.turns()):
            await asyncio.sleep(0)
        return reply


class _Following:
    def __init__(self, log: FaultyLog, real: Following) -> None:
        self._log = log
        self._real = real
        self._open = True

    def close(self) -> None:
        self._real.close()
        self._log.followed -= self._open
        self._open = False
