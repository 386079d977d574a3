"""Holding a unit of work open, on either engine, until a test has seen enough.

On PostgreSQL a unit is a coroutine of the event loop; on SQLite it runs in its connection's thread,
where it may wait as threads do, and tells the loop what happened from there.
"""

import asyncio
import threading

from storage.sql import Connection

PATIENCE = 60.0  # seconds; a gate that nobody opens is a failed test, not a hanging one


class Gate:
    """`begun` once a unit stands before it; `open` lets it on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self._opened = asyncio.Event()
        self._opened_to_threads = threading.Event()

    async def passed(self, c: Connection) -> None:
        """For the unit: wait until it is opened."""
        self._loop.call_soon_threadsafe(self.begun.set)
        if c.dialect == "sqlite":
            assert self._opened_to_threads.wait(PATIENCE)
        else:
            async with asyncio.timeout(PATIENCE):
                await self._opened.wait()

    def open(self) -> None:
        self._opened.set()
        self._opened_to_threads.set()


class Meeting:
    """Where so many units wait for each other."""

    def __init__(self, parties: int) -> None:
        self._tasks = asyncio.Barrier(parties)
        self._threads = threading.Barrier(parties)

    async def joined(self, c: Connection) -> None:
        """For each unit: wait until all are there."""
        if c.dialect == "sqlite":
            self._threads.wait(PATIENCE)
        else:
            await self._tasks.wait()
