"""Units of work that several suites use."""

import asyncio

from storage.sql import Connection, Database, Row
from tests.storage.sql.gates import Meeting

TABLE = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0)"


async def insert(c: Connection, key: str = "a") -> None:
    await c.run("INSERT INTO t (id) VALUES (:id)", id=key)


async def ids(db: Database) -> list[str]:
    rows = await db.read(lambda c: c.all("SELECT id FROM t ORDER BY id"))
    return [row["id"] for row in rows]


async def backend(c: Connection) -> int:
    """The process that serves this connection at the PostgreSQL server."""
    row = await c.one("SELECT pg_backend_pid() AS pid")
    assert row is not None
    return int(row["pid"])


async def expect_whole(db: Database) -> None:
    """Every connection of the usual options is to be had at the same time, and works."""
    writers = 1 if db.dialect == "sqlite" else 4
    meeting = Meeting(4 + writers)

    async def meet(c: Connection) -> Row | None:
        await meeting.joined(c)
        return await c.one("SELECT 1 AS one")

    units = [db.read(meet) for _ in range(4)] + [db.write(meet) for _ in range(writers)]
    async with asyncio.timeout(60):
        assert await asyncio.gather(*units) == [{"one": 1}] * len(units)
    load = db.load()
    assert (load.open, load.idle, load.waiting) == (len(units), len(units), 0)
