"""SQLite: one writer lane, a few reader lanes, and a lock that keeps a second process out.

A connection that `databases` opens per task costs a thread and half a millisecond, so lanes hold
theirs for life. There is one writer because two would fail each other's snapshots, and because
SQLite before 3.51.3 can damage a WAL database that two connections write or checkpoint at once.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

import aiosqlite
import databases

from storage.errors import (
    Conflict,
    Corrupt,
    Overloaded,
    StorageError,
    Unavailable,
    Unsupported,
)
from storage.sql.database import Database, Dialect, Load, Options, Row, T, Value, Work, transact
from storage.sql.lanes import Lanes
from storage.sql.lock import LockFile

# julianday counts whole milliseconds inside; ROUND undoes what dividing by a day's length did.
CLOCK = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

_SHARED = "Stop that process first; several processes at once need PostgreSQL (DATABASE_URL)."

_CONFLICTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "unique",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "unique",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "foreign_key",
    sqlite3.SQLITE_CONSTRAINT_CHECK: "check",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "not_null",
}
_AWAY = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_PERM: "the file is not ours to use",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


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
        lanes = partial(Lanes[aiosqlite.Connection], waiting=options.waiting, turn=options.turn)
        self._writer = lanes(partial(self._hold, _Writer, options), count=1)
        self._readers = lanes(partial(self._hold, _Reader, options), count=options.readers)

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
        return await self._readers.run(lambda raw: transact(_Driver(raw), work, write=False))

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        return await self._writer.run(lambda raw: transact(_Driver(raw), work, write=True))

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
        with _translated("connect", write=True):
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
        with _translated("connect", write=True):
            database = databases.Database(url, factory=factory, timeout=options.statement)
            async with database.connection() as held:
                yield held.raw_connection


def path_of(url: str) -> Path:
    """The file an URL names: `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if not path or path == ":memory:" or parts.netloc or parts.query or parts.fragment:
        example = (
            "sqlite:///data/parley.db is a file below this folder, sqlite:////srv/parley.db not"
        )
        raise Unsupported("a SQLite URL other than sqlite:///FILE", f"for example {example}")
    return Path(path)


class _Writer(sqlite3.Connection):
    """The one connection that writes and checkpoints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row_factory = _as_row
        (mode,) = self.execute("PRAGMA journal_mode = WAL").fetchone().values()
        if mode != "wal":
            raise Unsupported("SQLite's WAL", "the file's file system has no shared memory")
        # FULL, because an acknowledged write must outlive the power; NORMAL syncs at checkpoints.
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA foreign_keys = ON")


class _Reader(sqlite3.Connection):
    """A connection that cannot change anything, nor checkpoint."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row_factory = _as_row
        self.execute("PRAGMA query_only = ON")
        self.execute("PRAGMA wal_autocheckpoint = 0")


class _Driver:
    dialect: Dialect = "sqlite"
    clock = CLOCK
    for_update = ""  # the only writer has no one to lock out

    def __init__(self, raw: aiosqlite.Connection) -> None:
        self._raw = raw
        self._write = False

    async def begin(self, *, write: bool, durable: bool) -> None:
        # IMMEDIATE takes the write lock now: a later upgrade of a snapshot fails without a wait.
        self._write = write
        await self.rollback()  # of what a failing disk kept from being rolled back before
        await self.fetch("BEGIN IMMEDIATE" if write else "BEGIN", {})

    async def commit(self) -> None:
        with _translated("COMMIT", write=True):
            await self._raw.commit()

    async def rollback(self) -> None:
        if self._raw.in_transaction:
            with suppress(sqlite3.Error):
                await self._raw.rollback()

    async def fetch(self, sql: str, binds: Mapping[str, Value]) -> list[Row]:
        with _translated(sql, write=self._write):
            # One visit to the connection's thread; a cursor would need three.
            rows = await self._raw.execute_fetchall(sql, binds)
            return cast("list[Row]", rows)  # as the row factory makes them

    async def many(self, sql: str, rows: Sequence[Mapping[str, Value]]) -> None:
        with _translated(sql, write=self._write):
            await self._raw.executemany(sql, rows)

    async def script(self, sql: str) -> None:
        for statement in _statements(sql):
            await self.fetch(statement, {})


def _statements(script: str) -> Iterator[str]:
    """The script's statements: `executescript` would commit the open transaction first."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip(" \n;"):
        yield statement


def _as_row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


@contextmanager
def _translated(sql: str, *, write: bool) -> Iterator[None]:
    """The seam where SQLite's errors become ours; `from None`, because theirs quote values."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
        raise _ours(error, sql, write=write) from None


def _ours(error: Exception, sql: str, *, write: bool) -> StorageError:
    text = str(error)
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(_CONFLICTS.get(extended, "other"), text.partition(": ")[2] or None)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Overloaded("another process kept the file locked")
    if code in _DAMAGED:
        return Corrupt("the database file")
    if code in _AWAY and (write or code != sqlite3.SQLITE_READONLY):
        # A commit whose sync failed may yet be found whole in the WAL when the file is next opened.
        return Unavailable(_AWAY[code], outcome_unknown=sql == "COMMIT")
    # Of SQLite's own words only those on the SQL itself are free of values.
    why = text if code == sqlite3.SQLITE_ERROR and extended == code else type(error).__name__
    return StorageError(f"SQLite refused {sql!r}: {why}")
