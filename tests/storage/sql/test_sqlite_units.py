"""Units in the thread of their connection; and writes that share a transaction without knowing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from storage.errors import Conflict, Unavailable
from storage.sql import Connection, Database
from storage.sql.database import Work
from storage.sql.sqlite_driver import Savepoint, SqliteDriver
from storage.sql.sqlite_units import TOGETHER
from tests.storage.sql.gates import Gate

TABLES = """
CREATE TABLE t (n INTEGER NOT NULL PRIMARY KEY CHECK (n < 1000)) STRICT;
CREATE TABLE late (
    n INTEGER NOT NULL REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE TABLE big (b BLOB NOT NULL) STRICT;
"""


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture(autouse=True)
async def tables(db: Database) -> None:
    await db.write(lambda c: c.script(TABLES))


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was committed, in order: a transaction, or a unit's part of one."""
    made: list[str] = []
    for driver, name in ((SqliteDriver, "transaction"), (Savepoint, "part")):
        monkeypatch.setattr(driver, "commit", noted(driver.commit, name, made))
    return made


def noted(
    real: Callable[[Any], Awaitable[None]], name: str, made: list[str]
) -> Callable[[Any], Awaitable[None]]:
    async def commit(self: SqliteDriver) -> None:
        made.append(name)
        await real(self)

    return commit


async def insert(c: Connection, n: int) -> int:
    await c.run("INSERT INTO t VALUES (:n)", n=n)
    return n


async def stored(db: Database) -> list[int]:
    return [row["n"] for row in await db.read(lambda c: c.all("SELECT n FROM t ORDER BY n"))]


async def caller(db: Database, unit: Work[Any]) -> Any:
    return await db.write(unit)


async def at_once(db: Database, *units: Work[Any]) -> list[Any]:
    """What units come to that all waited while another one wrote."""
    gate = Gate()
    holding = asyncio.create_task(db.write(gate.passed))
    await gate.begun.wait()
    waiting = [asyncio.create_task(caller(db, unit)) for unit in units]
    await asyncio.sleep(0)
    gate.open()
    await holding
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_unit_is_one_visit_to_the_connections_thread(db: Database) -> None:
    """It goes through what aiosqlite keeps to itself, so a change there must show here."""

    async def threads(c: Connection) -> set[int]:
        seen = {threading.get_ident()}
        for n in range(3):
            await insert(c, n)
            seen.add(threading.get_ident())
        return seen

    (thread,) = await db.write(threads)
    assert thread != threading.get_ident()


async def test_a_unit_that_waits_for_something_else_fails_and_leaves_nothing(db: Database) -> None:
    """The only writer must not be kept by what may never happen."""

    async def wait(c: Connection) -> None:
        await insert(c, 1)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="nothing but its connection"):
        await db.write(wait)
    assert await stored(db) == []


async def test_writes_that_wait_share_a_transaction(db: Database, commits: list[str]) -> None:
    """Most of a small write is its COMMIT; each is answered after it, in its own words."""
    units = [partial(insert, n=n) for n in range(3)]
    assert await at_once(db, *units) == [0, 1, 2]
    assert commits == ["transaction", "part", "part", "part", "transaction"]
    assert await stored(db) == [0, 1, 2]


async def test_so_many_share_one_and_the_rest_the_next(db: Database, commits: list[str]) -> None:
    """Or the first would wait for a crowd."""
    units = [partial(insert, n=n) for n in range(TOGETHER + 2)]
    await at_once(db, *units)
    assert commits.count("transaction") == 3
    assert await stored(db) == list(range(TOGETHER + 2))


async def test_a_lone_write_has_no_savepoint(db: Database, commits: list[str]) -> None:
    """Nothing is added where nobody waits."""
    await db.write(partial(insert, n=1))
    assert commits == ["transaction"]


async def test_one_that_fails_is_undone_alone(db: Database) -> None:
    """What it wrote before is gone, and the others do not notice."""

    async def fail(c: Connection) -> None:
        await insert(c, 2)
        await insert(c, 1000)

    async def leave(c: Connection) -> None:
        await insert(c, 3)
        raise LookupError

    first, conflict, lookup, last = await at_once(
        db, partial(insert, n=1), fail, leave, partial(insert, n=4)
    )
    assert (first, last) == (1, 4)
    assert isinstance(conflict, Conflict)
    assert isinstance(lookup, LookupError)
    assert await stored(db) == [1, 4]


async def test_a_rule_that_is_checked_at_commit_fails_the_one_that_broke_it(db: Database) -> None:
    """Together nobody could tell whose it is, so each tries alone."""

    async def orphan(c: Connection) -> None:
        await c.run("INSERT INTO late VALUES (99)")

    first, conflict, last = await at_once(db, partial(insert, n=1), orphan, partial(insert, n=2))
    assert (first, last) == (1, 2)
    assert isinstance(conflict, Conflict)
    assert await stored(db) == [1, 2]


async def test_one_that_fills_the_disk_takes_nobody_along(db: Database) -> None:
    """SQLite gives up the whole transaction then."""
    await db.write(lambda c: c.run("PRAGMA max_page_count = 20"))

    async def fill(c: Connection) -> None:
        await c.run("INSERT INTO big VALUES (:b)", b=b"x" * 1_000_000)

    first, full, last = await at_once(db, partial(insert, n=1), fill, partial(insert, n=2))
    assert (first, last) == (1, 2)
    assert isinstance(full, Unavailable)
    assert await stored(db) == [1, 2]


async def test_what_cannot_be_undone_alone_is_not_kept_with_the_others(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk may keep a savepoint from being undone; then all is, and each tries alone."""

    async def release(self: Savepoint) -> None:
        await self.fetch("RELEASE unit", {})  # behind the driver's back, so that its undoing fails
        raise Conflict("other", "after the fact")

    first, both = partial(insert, n=1), partial(insert, n=2)
    monkeypatch.setattr(Savepoint, "commit", release)
    assert await at_once(db, first, both) == [1, 2]
    assert await stored(db) == [1, 2]


async def test_a_commit_of_unknown_outcome_is_unknown_to_all_and_not_repeated(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be found whole when the file is next opened."""
    ran: list[int] = []

    async def note(c: Connection, n: int) -> int:
        ran.append(n)
        return await insert(c, n)

    async def commit(self: SqliteDriver) -> None:
        if len(ran) == 2:
            raise Unavailable("the disk failed", outcome_unknown=True)
        await real(self)

    real = SqliteDriver.commit
    monkeypatch.setattr(SqliteDriver, "commit", commit)
    both = await at_once(db, partial(note, n=1), partial(note, n=2))
    assert [isinstance(one, Unavailable) and one.outcome_unknown for one in both] == [True, True]
    assert ran == [1, 2]


async def test_one_whose_caller_left_is_left_out(db: Database) -> None:
    """It has not begun, so nothing of it may happen."""
    gate = Gate()
    holding = asyncio.create_task(db.write(gate.passed))
    await gate.begun.wait()
    tasks = [asyncio.create_task(db.write(partial(insert, n=n))) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    gate.open()
    await holding
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await stored(db) == [0, 2]
