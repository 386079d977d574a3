"""What a unit of work does to SQLite: statements, a transaction's ends, errors made ours."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from storage.errors import Conflict, Corrupt, Overloaded, StorageError, TooSlow, Unavailable
from storage.sql.database import Dialect, Refused, Row, Value

# julianday counts whole milliseconds inside; ROUND undoes what dividing by a day's length did.
CLOCK = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

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
# What the driver raises: of its own, or of Python's over a value no column can hold.
FOREIGN = (sqlite3.Error, OverflowError, UnicodeEncodeError)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteDriver:
    """Used in the connection's thread, where nothing need be waited for."""

    dialect: Dialect = "sqlite"
    clock = CLOCK
    for_update = ""  # the only writer has no one to lock out

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._write = False

    async def begin(self, *, write: bool, durable: bool) -> None:
        # IMMEDIATE takes the write lock now: a later upgrade of a snapshot fails without a wait.
        self._write = write
        await self.rollback()  # of what a failing disk kept from being rolled back before
        await self.fetch("BEGIN IMMEDIATE" if write else "BEGIN", {})

    async def commit(self) -> None:
        with translated("COMMIT", write=True):
            self._raw.commit()

    async def rollback(self) -> None:
        if self._raw.in_transaction:
            with suppress(sqlite3.Error):
                self._raw.rollback()

    async def fetch(self, sql: str, binds: Mapping[str, Value]) -> list[Row]:
        try:
            cursor = self._raw.execute(sql, binds)
            values = cursor.fetchall()
        except FOREIGN as error:
            raise _ours(error, sql, write=self._write) from None
        if not values:
            return []
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in values]

    async def many(self, sql: str, rows: Sequence[Mapping[str, Value]]) -> None:
        with translated(sql, write=self._write):
            self._raw.executemany(sql, rows)

    async def script(self, sql: str) -> None:
        for statement in _statements(sql):
            await self.fetch(statement, {})


class Savepoint(SqliteDriver):
    """A unit's own part of a transaction that it shares: undone alone, kept with the others."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(raw)
        self._open = False

    async def begin(self, *, write: bool, durable: bool) -> None:
        self._write = write
        await self.fetch("SAVEPOINT unit", {})
        self._open = True

    async def commit(self) -> None:
        await self.fetch("RELEASE unit", {})
        self._open = False

    async def rollback(self) -> None:
        if self._open and self._raw.in_transaction:
            try:
                self._raw.execute("ROLLBACK TO unit")
                self._raw.execute("RELEASE unit")
            except sqlite3.Error:  # what cannot be undone alone must not be kept with the others
                await super().rollback()
        self._open = False


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


@contextmanager
def translated(sql: str, *, write: bool) -> Iterator[None]:
    """The seam where SQLite's errors become ours; `from None`, because theirs quote values."""
    try:
        yield
    except FOREIGN as error:
        raise _ours(error, sql, write=write) from None


def _ours(error: Exception, sql: str, *, write: bool) -> StorageError:
    text = str(error)
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(_CONFLICTS.get(extended, "other"), text.partition(": ")[2] or None)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Overloaded("another process kept the file locked")
    if code == sqlite3.SQLITE_INTERRUPT:
        return TooSlow()
    if code in _DAMAGED:
        return Corrupt("the database file")
    if code in _AWAY and (write or code != sqlite3.SQLITE_READONLY):
        # A commit whose sync failed may yet be found whole in the WAL when the file is next opened.
        return Unavailable(_AWAY[code], outcome_unknown=sql == "COMMIT")
    # Of SQLite's own words only those on the SQL itself are free of values.
    why = text if code == sqlite3.SQLITE_ERROR and extended == code else type(error).__name__
    return Refused("SQLite", sql, why)
