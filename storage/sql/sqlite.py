"""SQLite: one writer lane, a few reader lanes, and a lock that keeps a second process out.

A connection that `databases` opens per task costs a thread and half a millisecond, so lanes hold
theirs for life. There is one writer because two would fail each other's snapshots, and because
SQLite before 3.51.3 can damage a WAL database that two connections write or checkpoint at once.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiosqlite
import databases

from storage.errors import MigrationError, Unavailable, Unsupported
from storage.sql.database import Database, Dialect, Load, Options, T, Work
from storage.sql.dsn import path_of
from storage.sql.lock import LockFile
from storage.sql.sqlite_driver import CLOCK, translated
from storage.sql.sqlite_units import Reads, Writes

# Of a statement, between two looks at the time, each of which waits for the interpreter's lock.
STEPS = 1000
# A search does more in each: one message of 32 KB may take a quarter of a second.
STEPS_OF_SEARCH = 20

_log = logging.getLogger(__name__)
# Some table, where there is no table of migrations as ours is.
_FOREIGN_TABLE = """
SELECT 1 FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND NOT EXISTS (SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'checksum')
"""
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
        self._file = _File(self._path)
        self._lock = self._lock_file("", "the database") if options.exclusive else None
        waiting, turn = options.waiting, options.turn
        writer, reader = (
            partial(self._hold, kind, options) for kind in (partial(_Writer, self._file), _Reader)
        )
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

    async def check(self) -> None:
        self._file.check()
        await super().check()

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
            with closing(sqlite3.connect(self._path, timeout=options.statement)) as looking:
                _refuse_foreign(looking, self._path)
            self._file.note()
            writer = partial(_Writer, self._file)
            # typeshed wants a class, and sqlite3 whatever makes a connection.
            factory = cast("type[sqlite3.Connection]", writer)
            sqlite3.connect(self._path, factory=factory, timeout=options.statement).close()

    def _lock_file(self, suffix: str, what: str) -> LockFile:
        file = self._path.resolve()  # another name of the file must not be another lock
        path = file.with_name(f"{file.name}{suffix}.lock")
        return LockFile(path, f"{what} {self._path}", _SHARED)

    @asynccontextmanager
    async def _hold(
        self, factory: Callable[..., sqlite3.Connection], options: Options
    ) -> AsyncIterator[aiosqlite.Connection]:
        url = f"sqlite:///{quote(str(self._path))}"
        with translated("connect", write=True):
            database = databases.Database(url, factory=factory, timeout=options.statement)
            async with database.connection() as held:
                yield held.raw_connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """MigrationError for another program's file, before anything of it is changed."""
    connection.execute("PRAGMA query_only = ON")
    if connection.execute(_FOREIGN_TABLE).fetchone() is not None:
        problem = f"{path} is another program's database: it has tables, and not Parley's"
        raise MigrationError(problem, "It was not changed. Have DATABASE_URL name another file.")


class _File:
    """The file as it was opened, which is not always what has its name later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None
        self._told = False

    def note(self) -> None:
        """This is the one."""
        self._opened = self._now()

    def check(self) -> None:
        """`Unavailable` if it was deleted, moved or replaced: what is written to it is lost."""
        now = self._now()
        if now == self._opened:
            self._told = False
            return
        what = "deleted or moved" if now is None else "replaced by another"
        if not self._told:
            self._told = True
            _log.error(
                "The database file %s was %s under this server, so nothing is accepted any more. "
                "Put it back, or stop the server and start it on what is there.",
                self._path,
                what,
            )
        raise Unavailable(f"the database file {self._path} was {what} under this server")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _Writer(sqlite3.Connection):
    """The one connection that writes and checkpoints."""

    def __init__(self, file: _File, *args: Any, **options: Any) -> None:
        self._file = file
        super().__init__(*args, **options)
        (mode,) = self.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise Unsupported("SQLite's WAL", "the file's file system has no shared memory")
        # FULL, because an acknowledged write must outlive the power; NORMAL syncs at checkpoints.
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA foreign_keys = ON")

    def commit(self) -> None:
        """Keep the change, unless nobody will find it: one look takes 2 µs, a commit 100."""
        self._file.check()
        super().commit()


class _Reader(sqlite3.Connection):
    """A connection that cannot change anything, nor checkpoint, nor read for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._statement_s: float = options["timeout"]
        self.execute("PRAGMA query_only = ON")
        self.execute("PRAGMA wal_autocheckpoint = 0")

    def execute(self, sql: str, *binds: Any) -> sqlite3.Cursor:
        """Begin a statement, which has its time from now on."""
        self._over = time.monotonic() + self._statement_s
        self.set_progress_handler(self._is_over, STEPS_OF_SEARCH if "GLOB" in sql else STEPS)
        return super().execute(sql, *binds)

    def _is_over(self) -> bool:
        return time.monotonic() > self._over
