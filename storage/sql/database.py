"""One way to run SQL: a unit of work is handed in, and runs in one transaction or not at all.

    async def rename(c: Connection) -> Row | None:
        return await c.one("UPDATE … SET title = :title WHERE id = :id RETURNING id", …)

    row = await db.write(rename)

What holds for SQLite and PostgreSQL alike:

- `write` returns after the commit, and the commit is on the disk. `read` sees one snapshot.
- A unit that began runs to its end, whoever still waits for it; one whose caller left before it
  began is skipped. What cannot begin in time is `Overloaded`, and then nothing was done.
- A unit may run more than once (a connection lost before COMMIT, a deadlock), so it acts through
  its connection alone. It opens no other unit, and does not keep the connection. It awaits nothing
  else: on SQLite it runs in the connection's thread, where there is no event loop to wait for.
- A statement that failed fails all that follow and its unit, even where the unit swallows the
  error: PostgreSQL would roll back and SQLite go on. Write `ON CONFLICT DO NOTHING` instead.
- Writes run side by side on PostgreSQL (READ COMMITTED) and one by one on SQLite. Who reads a row
  in order to change it ends the SELECT with `c.for_update`.

A statement is one string with `:name` binds. PostgreSQL sums integers to a decimal, so write
`CAST(SUM(n) AS BIGINT)`; and it takes an int for no text column, nor the other way round.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Annotated, Any, Literal, Protocol, TypeVar, final

from msgspec import Meta, Struct

from storage.errors import StorageError

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]
Value = str | int | float | bytes | None
# What a column holds is the schema's word, which no type checker can see.
Row = Mapping[str, Any]
Work = Callable[["Connection"], Awaitable[T]]

_Lanes = Annotated[int, Meta(ge=1, le=1000)]
_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class Options(Struct, frozen=True, kw_only=True):
    """How a database is used; every time is in seconds and none may be 0."""

    readers: Annotated[_Lanes, Meta(description="Reads that run at once.")] = 4
    writers: Annotated[
        _Lanes, Meta(description="Writes that run at once; SQLite always has one.")
    ] = 4
    waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Reads, and as many writes, that may wait for their turn.",
        ),
    ] = 1000
    # Who writes where others hold a lock is answered within 2 s, of which a busy machine needs
    # half a second for all that is not waiting.
    turn: Annotated[_Seconds, Meta(description="Seconds that one may wait for its turn.")] = 1.3
    statement: Annotated[
        _Seconds,
        Meta(
            description="Seconds that a statement may wait for a lock, and one that reads take in "
            "all; on PostgreSQL all that a change may take, with its wait for its turn."
        ),
    ] = 1.4
    connect: Annotated[
        _Seconds, Meta(description="Seconds that an attempt to reach the server may take.")
    ] = 5.0
    exclusive: Annotated[
        bool,
        Meta(
            description="SQLite: refuse to share the file with another process.",
            extra={"variable": ""},  # no setting: sharing can damage the file
        ),
    ] = True


class Load(Struct, frozen=True):
    """How much of a database is in use, for metrics."""

    limit: int  # connections there may be
    open: int
    idle: int  # open, with nothing to do
    waiting: int  # units of work that have not begun


class Refused(StorageError):
    """The engine did not take a statement: our own mistake, or somebody changed the schema."""

    def __init__(self, engine: str, sql: str, why: str) -> None:
        super().__init__(engine, sql, why)
        self.engine = engine
        self.sql = sql
        self.why = why  # the engine's own words, where they are free of values

    def __str__(self) -> str:
        return f"{self.engine} refused {self.sql!r}: {self.why}"


class Driver(Protocol):
    """What one engine does with one connection; raises only what `storage.errors` names."""

    dialect: Dialect
    clock: str
    for_update: str

    async def begin(self, *, write: bool, durable: bool) -> None: ...

    async def commit(self) -> None:
        """Failing, it says by `outcome_unknown` whether the change may have been made."""

    async def rollback(self) -> None:
        """Ends a transaction if one is open. Never raises: what is beyond repair is dropped."""

    async def fetch(self, sql: str, binds: Mapping[str, Value]) -> list[Row]: ...

    async def many(self, sql: str, rows: Sequence[Mapping[str, Value]]) -> None: ...

    async def script(self, sql: str) -> None: ...


@final
class Connection:
    """The database inside one unit of work; of no use after it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.dialect: Dialect = driver.dialect
        self.clock = driver.clock
        self.for_update = driver.for_update  # ends a SELECT whose rows this unit will change
        self.failure: StorageError | None = None
        self.over = False

    async def all(self, sql: str, **binds: Value) -> list[Row]:
        """Every row."""
        with self._statement():
            return await self._driver.fetch(sql, binds)

    async def one(self, sql: str, **binds: Value) -> Row | None:
        """The first row, or None."""
        rows = await self.all(sql, **binds)
        return rows[0] if rows else None

    async def run(self, sql: str, **binds: Value) -> None:
        """A statement whose rows do not matter; to count them use `… RETURNING` and `all`."""
        await self.all(sql, **binds)

    async def many(self, sql: str, rows: Sequence[Mapping[str, Value]]) -> None:
        """One statement for each row of binds, in order."""
        with self._statement():
            await self._driver.many(sql, rows)

    async def script(self, sql: str) -> None:
        """Several statements without binds, however long they take: for migrations."""
        with self._statement():
            await self._driver.script(sql)

    @contextmanager
    def _statement(self) -> Iterator[None]:
        if self.over:
            raise RuntimeError("this unit of work is over; its connection may serve another now")
        if self.failure is not None:
            # The transaction may be gone already, and the next statement would commit by itself.
            raise self.failure
        try:
            yield
        except StorageError as failure:
            self.failure = failure
            raise


async def transact(driver: Driver, work: Work[T], *, write: bool, durable: bool = True) -> T:
    """Runs `work` in one transaction: the only way there is to open one."""
    connection = Connection(driver)
    try:
        await driver.begin(write=write, durable=durable)
        result = await work(connection)
        if connection.failure is not None:
            raise connection.failure
        if write:
            await driver.commit()
        return result
    finally:
        connection.over = True
        await driver.rollback()  # of a read, or of what failed; after a commit it does nothing


class Database(ABC):
    """SQLite or PostgreSQL; `storage.sql.open_database` opens one."""

    dialect: Dialect
    clock: str  # SQL for the database's time: integer milliseconds since 1970
    version: str

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Runs `work` on one snapshot; it may change nothing."""

    async def look(self, sql: str, **binds: Value) -> list[Row]:
        """The rows of one statement that changes nothing, which is a snapshot by itself."""
        return await self.read(lambda c: c.all(sql, **binds))

    @abstractmethod
    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Runs `work` in one transaction and commits it before returning.

        Without `durable` a crash of the server may take back the last moments: for telemetry alone.
        """

    @abstractmethod
    def hold_lock(self, name: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Holds a lock that one living process can have; the event is set if it is lost.

        Held by another it is `Busy`. A transaction pooler cannot hold one: `Unsupported`.
        """

    async def check(self) -> None:
        """Fails if it does not answer, or is no more what was opened."""
        await self.read(lambda c: c.run("SELECT 1"))

    @abstractmethod
    def load(self) -> Load:
        """What is in use just now."""

    @abstractmethod
    async def close(self) -> None:
        """Finishes what began, refuses what did not, and lets go of every connection."""
