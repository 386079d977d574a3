"""What a unit of work does to PostgreSQL: statements, a transaction's ends, errors made ours."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import asyncpg

from storage.errors import (
    Conflict,
    Corrupt,
    Overloaded,
    StorageError,
    TooSlow,
    Unavailable,
    Unsupported,
)
from storage.sql.database import Dialect, Refused, Row, Value

# The statement's start, because a volatile clock would keep an index on times from being used.
CLOCK = "CAST(FLOOR(EXTRACT(EPOCH FROM statement_timestamp()) * 1000) AS BIGINT)"
SCRIPT_SECONDS = 3600.0  # a migration may have to build an index


class ConnectionLost(Unavailable):
    """The connection broke before COMMIT was sent: nothing was done."""


class StaleConnection(ConnectionLost):
    """The connection was lost before the unit of work began."""


class Clash(Overloaded):
    """Rolled back in favour of another transaction (or of a migration); done again it may pass."""


# All that asyncpg raises.
FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_CONFLICTS: dict[type[Exception], str] = {
    asyncpg.UniqueViolationError: "unique",
    asyncpg.ExclusionViolationError: "unique",
    asyncpg.ForeignKeyViolationError: "foreign_key",
    asyncpg.CheckViolationError: "check",
    asyncpg.NotNullViolationError: "not_null",
}
_CLASHES = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # A migration beside us changed what a prepared statement returns; asyncpg has forgotten it now.
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
_LATE = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, TimeoutError)
_LOST = (
    # The server's farewell has come and the end of the connection not yet.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
)
_AWAY = (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError)


class PostgresDriver:
    """One connection of the pool, during one unit of work."""

    dialect: Dialect = "postgresql"
    clock = CLOCK
    for_update = " FOR UPDATE"

    def __init__(
        self, raw: "asyncpg.pool.PoolConnectionProxy[Any]", statement_s: Callable[[], float]
    ) -> None:
        """`statement_s`: how long the next statement may take."""
        self._raw = raw
        self._statement_s = statement_s
        self._write = False

    async def begin(self, *, write: bool, durable: bool) -> None:
        self._write = write
        if not write:
            begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        elif durable:
            begin = "BEGIN"
        else:
            begin = "BEGIN; SET LOCAL synchronous_commit = off"
        try:
            with self._translated(begin):
                await self._raw.execute(begin)
        except StorageError as error:
            self._drop()  # who knows whether the server has begun
            if isinstance(error, ConnectionLost):
                raise StaleConnection(error.reason) from None
            raise

    async def commit(self) -> None:
        if self._closed:  # nothing can come between this look and the sending
            raise ConnectionLost("the connection broke")
        try:
            with self._translated("COMMIT"):
                done = await self._raw.execute("COMMIT")
        except (ConnectionLost, Overloaded) as error:
            if isinstance(error, Clash):
                raise
            self._drop()
            reason = "the connection broke or the time ran out during COMMIT"
            raise Unavailable(reason, outcome_unknown=True) from None
        if done != "COMMIT":  # PostgreSQL's answer where a statement had failed before
            raise StorageError("PostgreSQL rolled a transaction back instead of committing it")

    async def rollback(self) -> None:
        try:
            if not self._closed and self._raw.is_in_transaction():
                await self._raw.execute("ROLLBACK")
        except FOREIGN:
            self._drop()

    async def fetch(self, sql: str, binds: Mapping[str, Value]) -> list[Row]:
        text, names = numbered(sql)
        with self._translated(sql):
            values = _in_order(names, binds)
            rows = await self._raw.fetch(text, *values, timeout=self._statement_s())
            return [dict(row) for row in rows]

    async def look(self, sql: str, binds: Mapping[str, Value]) -> list[Row]:
        """One statement by itself, which changes nothing: if its connection is lost, all is."""
        try:
            return await self.fetch(sql, binds)
        except ConnectionLost as error:
            self._drop()
            raise StaleConnection(error.reason) from None

    async def many(self, sql: str, rows: Sequence[Mapping[str, Value]]) -> None:
        text, names = numbered(sql)
        with self._translated(sql):
            values = [_in_order(names, binds) for binds in rows]
            await self._raw.executemany(text, values, timeout=self._statement_s())

    async def script(self, sql: str) -> None:
        with self._translated(sql):
            await self._raw.execute(sql, timeout=SCRIPT_SECONDS)

    @property
    def _closed(self) -> bool:
        try:
            return self._raw.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken the broken connection back
            return True

    def _drop(self) -> None:
        """Closes the connection, so that the pool makes a new one."""
        with suppress(asyncpg.InterfaceError):
            self._raw.terminate()

    @contextmanager
    def _translated(self, sql: str) -> Iterator[None]:
        """The seam where asyncpg's errors become ours; `from None`, because theirs quote rows."""
        try:
            yield
        except asyncpg.InterfaceError as error:
            if self._closed:
                raise ConnectionLost("the connection broke") from None
            raise _refused(error, sql) from None
        except FOREIGN as error:
            raise _ours(error, sql, write=self._write) from None


_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | :: | :(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=1024)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """SQL with `$1`, `$2` … for its `:name` binds, and the names in that order."""
    names: dict[str, int] = {}

    def number(token: re.Match[str]) -> str:
        name = token["name"]
        return token[0] if name is None else f"${names.setdefault(name, len(names) + 1)}"

    text = _TOKEN.sub(number, sql)
    return text, tuple(names)


def _in_order(names: tuple[str, ...], binds: Mapping[str, Value]) -> list[Value]:
    try:
        return [binds[name] for name in names]
    except KeyError as missing:
        raise StorageError(f"a statement has no value for its bind {missing}") from None


def _ours(error: Exception, sql: str, *, write: bool) -> StorageError:
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return Conflict(_CONFLICTS.get(type(error), "other"), error.constraint_name)
    if isinstance(error, _CLASHES):
        return Clash("it clashed with another transaction", retry_after_ms=100)
    if isinstance(error, _LATE):  # before _LOST, because a TimeoutError is an OSError too
        return TooSlow()
    if isinstance(error, _LOST):
        return ConnectionLost("the connection broke")
    if isinstance(error, _AWAY):
        return Unavailable(f"the server: {type(error).__name__}")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and write:
        return Unavailable("the server became a replica, which takes no change")
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return Corrupt("the database")
    return _refused(error, sql)


def _refused(error: Exception, sql: str) -> StorageError:
    """Our own mistake; of PostgreSQL's words only those on the SQL itself are free of values."""
    why = type(error).__name__
    if isinstance(error, asyncpg.SyntaxOrAccessError):
        why = f"{why}: {error.args[0]}"
    return Refused("PostgreSQL", sql, why)


@contextmanager
def connecting() -> Iterator[None]:
    """The same seam where no statement has been sent: what failed here was never begun."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError:
        raise Unavailable("the server refuses this user or password") from None
    except asyncpg.InvalidCatalogNameError:
        raise Unavailable("the server has no database of this name") from None
    except asyncpg.TooManyConnectionsError:
        raise Overloaded("the server has no connection left") from None
    except TimeoutError:
        raise Unavailable("the server did not answer in time") from None
    except OSError as error:
        raise Unavailable(f"the server cannot be reached: {error.strerror or error}") from None
    except ValueError as error:  # asyncpg reads the URL at each attempt, without its credentials
        raise Unsupported("this PostgreSQL URL", str(error)) from None
    except FOREIGN as error:
        raise Unavailable(f"the server cannot be used: {type(error).__name__}") from None
