"""SQLite: one writer lane, a few reader lanes, and a lock that keeps a second process out.

A connection that `databases` opens per task costs a thread and half a millisecond, so lanes hold
theirs for life. There is one writer because two would fail each other's snapshots, and because
SQLite before 3.51.3 can damage a WAL database that two connections write or checkpoint at once.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import quote

import aiosqlite
import databases

from storage.errors import Unsupported
from storage.sql.database import Database, Dialect, Load, Options, T, Work
from storage.sql.dsn import path_of
from storage.sql.lock import LockFile
from storage.sql.sqlite_driver import CLOCK, translated
from storage.sql.sqlite_units import Reads, Writes

_SHARED = "Stop that process first; several processes at once need PostgreSQL (DATABASE_URL)."


def has_wal_reset_bug(version: str) -> bool:
    """Whether two connections that write or checkpoint at once can damage a WAL database."""
    number = tuple(int(part) for part in version.split("."))
    fixed_by_backport = (3, 50, 7) <= number < (3, 51) or (3, 44, 6) <= number < (3, 45)
    return (3, 7) <= number < (3, 51, 3) and not fixed_by_backport


class SQLite(Database):
    """One file in WAL mode, for one process."""

    dialect: Dialect = "sqlite"
    clock = CLOCK
    version = sqlite3.sqlite_version

    def __init__(self, url: str, options: Options) -> None:
        self._path = path_of(url)
        self._lock = self._lock_file("", "the database") if options.exclusive else None
        waiting, turn = options.waiting, options.turn
        writer, reader = (partial(self._hold, kind, options) for kind in (_Writer, _Reader))
        self._writer = Writes(writer, count=1, waiting=waiting, turn=turn)
        self._readers = Reads(reader, count=options.readers, waiting=waiting, turn=turn)

    @classmethod
    async def open(cls, url: str, options: Options) -> "SQLite":
        self = cls(url, options)
        if self._lock is not None:
            self._lock.acquire()
        try:
            # First without aiosqlite, which leaves a thread behind where opening fails.
            await asyncio.to_thread(self._try, options)
            await self._writer.open()
            await self._readers.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def read(self, work: Work[T]) -> T:
        return await self._readers.run(work)

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        return await self._writer.run(work)

    @asynccontextmanager
    async def hold_lock(self, name: str) -> AsyncIterator[asyncio.Event]:
        lock = self._lock_file(f".{name}", f"the lock {name!r}")
        lock.acquire()
        try:
            yield asyncio.Event()  # never set: the kernel takes it back from the dead alone
        finally:
            lock.release()

    def load(self) -> Load:
        lanes = (self._writer, self._readers)
        limit = sum(lane.count for lane in lanes)
        busy = sum(lane.busy for lane in lanes)
        return Load(limit, limit, limit - busy, sum(lane.waiting for lane in lanes))

    async def close(self) -> None:
        # The last connection to close checkpoints, and that is the writer's to do.
        try:
            await self._readers.close()
        finally:
            try:
                await self._writer.close()
            finally:
                if self._lock is not None:
                    self._lock.release()

    def _try(self, options: Options) -> None:
        # SQLite would make it readable to all, and gives the WAL the same mode. A file that is
        # there keeps the mode it was given.
        with suppress(OSError):  # SQLite will say why
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with translated("connect", write=True):
            sqlite3.connect(self._path, factory=_Writer, timeout=options.statement).close()

    def _lock_file(self, suffix: str, what: str) -> LockFile:
        file = self._path.resolve()  # another name of the file must not be another lock
        path = file.with_name(f"{file.name}{suffix}.lock")
        return LockFile(path, f"{what} {self._path}", _SHARED)

    @asynccontextmanager
    async def _hold(
        self, factory: type[sqlite3.Connection], options: Options
    ) -> AsyncIterator[aiosqlite.Connection]:
        url = f"sqlite:///{quote(str(self._path))}"
        with translated("connect", write=True):
            database = databases.Database(url, factory=factory, timeout=options.statement)
            async with database.connection() as held:
                yield held.raw_connection


class _Writer(sqlite3.Connection):
    """The one connection that writes and checkpoints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        (mode,) = self.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise Unsupported("SQLite's WAL", "the file's file system has no shared memory")
        # FULL, because an acknowledged write must outlive the power; NORMAL syncs at checkpoints.
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA foreign_keys = ON")


class _Reader(sqlite3.Connection):
    """A connection that cannot change anything, nor checkpoint."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA query_only = ON")
        self.execute("PRAGMA wal_autocheckpoint = 0")
