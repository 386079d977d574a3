"""That one process serves a database whose conversations' logs are in memory, and no other.

Two would each tell their own clients, and neither would hear of the other's. A lock in the database
keeps a second one from starting. Its session ends with the database's server, and then it is taken
again, for a restart of that is nothing to die of.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from server.telemetry.logs import get_logger
from storage.errors import Busy, StorageError, Unsupported

# Holds a lock by its name; the event is set if it is lost.
HoldLock = Callable[[str], AbstractAsyncContextManager[asyncio.Event]]

NAME = "serving"
RETAKE_S = 0.5
# A server notices only after some eleven seconds that a session's other end has vanished, and
# until then the lock may be held by what was our own session.
GHOST_S = 15.0

_log = get_logger()


class Displaced(Exception):
    """Another process serves the database now."""

    def __init__(self) -> None:
        super().__init__(
            "The database was away, and meanwhile another process began to serve it. Start this one"
            " again when the other has ended, or give it a database of its own."
        )


class Alone:
    """The lock of the one process that serves; `displaced` is set once another has it."""

    def __init__(
        self,
        hold_lock: HoldLock,
        held: AsyncExitStack,
        lost: asyncio.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.displaced = asyncio.Event()
        self._hold_lock = hold_lock
        self._held = held
        self._lost = lost
        self._clock = clock
        self._sleep = sleep

    async def keep(self) -> None:
        """Take it again whenever it was lost, until cancelled or displaced."""
        while True:
            await self._lost.wait()
            _log.warning("the lock that keeps others from serving this database was lost")
            await self._held.aclose()
            try:
                self._lost = await self._take_again()
            except Busy as busy:
                self.displaced.set()
                raise Displaced from busy
            _log.info("the lock that keeps others from serving this database was taken again")

    async def ask(self) -> None:
        """Fail while it is not held: whoever has a choice should not come here."""
        if self._lost.is_set():
            raise RuntimeError("the lock is lost")

    async def _take_again(self) -> asyncio.Event:
        ghost_until: float | None = None
        while True:
            try:
                return await self._held.enter_async_context(self._hold_lock(NAME))
            except Busy:
                ghost_until = ghost_until or self._clock() + GHOST_S
                if self._clock() >= ghost_until:
                    raise
            except StorageError:  # the database is away, as its own probe tells
                pass
            await self._sleep(RETAKE_S)


@asynccontextmanager
async def alone_by(hold_lock: HoldLock) -> AsyncIterator[Alone | None]:
    """Hold the lock; `Busy` where another process serves already.

    Behind a transaction pooler nobody can: heartbeats tell the living from the dead then.
    """
    async with AsyncExitStack() as held:
        try:
            lost = await held.enter_async_context(hold_lock(NAME))
        except Unsupported:
            yield None
        else:
            yield Alone(hold_lock, held, lost)
