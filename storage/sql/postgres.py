"""PostgreSQL through asyncpg's pool, also behind a pooler in transaction mode.

Behind such a pooler every transaction may meet another server connection, so nothing may outlive
one: no named prepared statement, no session setting, no session lock. asyncpg without its statement
cache parses each statement anew in the same round trip that runs it, which is safe there.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import asyncpg
import databases
from msgspec import Struct

from storage.errors import Busy, StorageError, Unsupported
from storage.sql import dsn
from storage.sql.database import Database, Dialect, Load, Options, Row, T, Value, Work, transact
from storage.sql.lanes import Lanes, under_way
from storage.sql.postgres_driver import (
    CLOCK,
    FOREIGN,
    Clash,
    ConnectionLost,
    PostgresDriver,
    StaleConnection,
    connecting,
)

# Seconds for a statement, however old its unit is; most take a hundredth of it.
LEAST = 0.2
CLASH_RETRIES = 5
CLASH_PAUSE = 0.01  # seconds, at most, doubled at each retry


class PostgreSQL(Database):
    """A server that many processes share."""

    dialect: Dialect = "postgresql"
    clock = CLOCK

    def __init__(self, address: dsn.Dsn, options: Options, server: "_Server") -> None:
        self.version = server.version
        self.pooled = server.pooled
        self._address = address
        self._options = options
        self._limit = options.readers + options.writers
        self._database = databases.Database(
            "postgresql://",
            # The text says everything, and nothing may come from the empty URL above.
            dsn=address.text,
            host=None,
            port=None,
            user=None,
            password=None,
            database=None,
            timeout=options.connect,
            command_timeout=options.statement,
            statement_cache_size=0 if self.pooled else 100,
            min_size=0,
            max_size=self._limit,
            # No unit leaves anything in its session, so the round trip that resets it is saved.
            reset=_nothing,
        )
        lanes = partial(Lanes[None], nullcontext, waiting=options.waiting, turn=options.turn)
        # Apart, so that writers held up by a lock leave the readers their connections.
        self._readers = lanes(count=options.readers)
        self._writers = lanes(count=options.writers)

    @classmethod
    async def open(cls, url: str, options: Options) -> "PostgreSQL":
        address = dsn.parse(url)
        self = cls(address, options, await _look(address, options))
        await self._database.connect()
        await self._readers.open()
        await self._writers.open()
        return self

    async def read(self, work: Work[T]) -> T:
        return await self._readers.run(
            lambda _: self._insist(lambda driver: transact(driver, work, write=False))
        )

    async def look(self, sql: str, **binds: Value) -> list[Row]:
        # Without a transaction around it, whose ends would be two more round trips.
        return await self._readers.run(
            lambda _: self._insist(lambda driver: driver.look(sql, binds))
        )

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        return await self._writers.run(
            lambda _: self._insist(
                lambda driver: transact(driver, work, write=True, durable=durable), write=True
            )
        )

    @asynccontextmanager
    async def hold_lock(self, name: str) -> AsyncIterator[asyncio.Event]:
        if self.pooled:
            why = "a transaction pooler gives each transaction another session; use a direct URL"
            raise Unsupported(f"holding the lock {name!r}", why)
        with connecting():
            raw = await _connect(self._address, self._options)
        try:
            lost = asyncio.Event()
            raw.add_termination_listener(lambda _: lost.set())
            with connecting():
                await _lock_session(raw, name)
            yield lost
        finally:
            with suppress(*FOREIGN):
                await raw.close(timeout=self._options.statement)

    def load(self) -> Load:
        pool = self._pool
        waiting = self._readers.waiting + self._writers.waiting
        return Load(pool.get_max_size(), pool.get_size(), pool.get_idle_size(), waiting)

    async def close(self) -> None:
        await self._readers.close()
        await self._writers.close()
        # A pool that is cancelled while it says goodbye to a server drops its connections.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.statement):
                await self._database.disconnect()

    @property
    def _pool(self) -> "asyncpg.Pool[Any]":
        pool: asyncpg.Pool[Any] = self._database._backend._pool  # noqa: SLF001 - no public way to it
        return pool

    def _statement_s(self, *, write: bool) -> float:
        """A write has that long in all, its turn and its repetitions too.

        Reads keep all of their time: where thousands come back at once they wait long.
        """
        allowed = self._options.statement
        return max(LEAST, allowed - under_way()) if write else allowed

    async def _insist(
        self, unit: Callable[[PostgresDriver], Awaitable[T]], *, write: bool = False
    ) -> T:
        """Runs a unit again where its failure says that nothing was done."""
        # A server that slept or restarted leaves as many stale connections as the pool holds. One
        # lost in the middle may have been lost to the unit itself, so that gets one more chance.
        statement_s = partial(self._statement_s, write=write)
        left: dict[type[StorageError], int]
        left = {StaleConnection: self._limit, ConnectionLost: 1, Clash: CLASH_RETRIES}
        while True:
            try:
                async with self._connected() as raw:
                    return await unit(PostgresDriver(raw, statement_s))
            except (ConnectionLost, Clash) as failure:
                if not left[type(failure)]:
                    raise
                left[type(failure)] -= 1
                if isinstance(failure, Clash):
                    # Full jitter, so that those who clashed do not meet again.
                    pause = CLASH_PAUSE * 2 ** (CLASH_RETRIES - left[Clash])
                    await asyncio.sleep(random.uniform(0, pause))  # noqa: S311

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[Any]"]:
        held = self._database.connection()
        with connecting():
            await held.__aenter__()
        try:
            yield held.raw_connection
        finally:
            # What the unit did stands, however its connection is given back.
            with suppress(*FOREIGN):
                await held.__aexit__()


class _Server(Struct, frozen=True):
    """What stands at an address."""

    version: str
    pooled: bool


async def _look(address: dsn.Dsn, options: Options) -> _Server:
    with connecting():
        raw = await _connect(address, options)
        try:
            row = await raw.fetchrow(
                "SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version,"
                " current_setting('synchronous_commit') AS synchronous_commit"
            )
            greeted_by = raw.get_server_pid()
        finally:
            raw.terminate()
    assert row is not None, "a SELECT without FROM has one row"
    if row["synchronous_commit"] == "off":
        remedy = "ALTER DATABASE … SET synchronous_commit = on"
        raise Unsupported("a durable commit", f"the server has synchronous_commit = off; {remedy}")
    # A pooler greets with a number of its own making, and a server's process answers.
    pooled = row["pid"] != greeted_by if address.pooled is None else address.pooled
    return _Server(row["version"], pooled)


async def _connect(address: dsn.Dsn, options: Options) -> "asyncpg.Connection[Any]":
    """A connection outside the pool."""
    return await asyncpg.connect(
        address.text,
        statement_cache_size=0,
        timeout=options.connect,
        command_timeout=options.connect,
    )


async def _lock_session(raw: "asyncpg.Connection[Any]", name: str) -> None:
    # The server notices within some ten seconds that the holder's machine is gone; by default it
    # would keep the lock for two hours.
    await raw.execute(
        "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
    )
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    if await raw.fetchval("SELECT pg_try_advisory_lock($1)", key):
        return
    pid = await raw.fetchval(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND (classid::bigint << 32 | objid::bigint) = $1",
        key,
    )
    raise Busy(f"the lock {name!r}", f"session {pid} of the database server" if pid else None)


async def _nothing(_: "asyncpg.Connection[Any]") -> None:
    pass
