"""What both engines promise to a unit of work, on every way to a database."""

import asyncio
import random
import time
from contextvars import Context, ContextVar, copy_context
from functools import partial
from pathlib import Path

import pytest

from storage.errors import Conflict, StorageError
from storage.sql import Connection, Database, Row, Value, open_database
from storage.sql.database import Refused
from tests.conftest import LONG
from tests.storage.sql.conftest import PATIENT
from tests.storage.sql.gates import Gate
from tests.storage.sql.units import expect_whole

TABLES = """
CREATE TABLE migrations (checksum TEXT); -- by which a file is known for ours
CREATE TABLE parents (id TEXT NOT NULL PRIMARY KEY);
CREATE TABLE children (
    id TEXT NOT NULL PRIMARY KEY,
    parent TEXT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE pairs (pair INTEGER NOT NULL, half INTEGER NOT NULL, PRIMARY KEY (pair, half));
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO counters VALUES ('a', 0);
"""
CANCELS = 3000 if LONG else 300


@pytest.fixture(autouse=True)
async def tables(db: Database) -> None:
    await db.write(lambda c: c.script(TABLES))


async def test_what_a_write_returned_from_is_there_for_every_read(db: Database) -> None:
    """The commit comes before the answer."""
    await db.write(lambda c: c.run("INSERT INTO parents VALUES (:id)", id="p"))
    assert await db.read(lambda c: c.all("SELECT id FROM parents")) == [{"id": "p"}]


async def test_a_look_is_one_statement_with_the_manners_of_a_read(db: Database) -> None:
    """It sees what was committed; a wrong one harms nobody else."""
    await db.write(lambda c: c.run("INSERT INTO parents VALUES ('p')"))
    assert await db.look("SELECT id FROM parents WHERE id = :id", id="p") == [{"id": "p"}]
    assert await db.look("SELECT id FROM parents WHERE id = :id", id="q") == []
    with pytest.raises(Refused) as caught:
        await db.look("SELECT :x FROM nowhere", x="a secret")
    assert "secret" not in str(caught.value)
    await expect_whole(db)


async def test_a_unit_that_raises_leaves_nothing_behind(db: Database) -> None:
    """Whatever the reason, and the reason reaches the caller as it is."""

    async def fail(c: Connection) -> None:
        await c.run("INSERT INTO parents VALUES ('p')")
        raise LookupError

    with pytest.raises(LookupError):
        await db.write(fail)
    assert await db.read(lambda c: c.all("SELECT id FROM parents")) == []


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    """Nothing in a value or in the text around a bind is read as something else."""
    column = {"sqlite": "BLOB", "postgresql": "BYTEA"}[db.dialect]
    sql = f"CREATE TABLE v (t TEXT, i BIGINT, f DOUBLE PRECISION, b {column}, n TEXT)"
    await db.write(lambda c: c.script(sql))
    row: dict[str, Value] = {
        "t": "% :x ::int $1 ? ' \" \\ 👋🏽",
        "i": -(2**63),
        "f": 0.1,
        "b": b"\0\xff",
        "n": None,
    }
    await db.write(lambda c: c.run("INSERT INTO v VALUES (:t, :i, :f, :b, :n)", **row))
    assert await db.read(lambda c: c.all("SELECT * FROM v")) == [row]
    literal = 'SELECT \'{"a":1, "b": ":t"} 100%\' AS json, CAST(:t AS TEXT) AS t -- it\'s :t'
    assert await db.read(lambda c: c.one(literal, t="%s")) == {
        "json": '{"a":1, "b": ":t"} 100%',
        "t": "%s",
    }


async def test_one_is_the_first_row_or_none(db: Database) -> None:
    """A look-up that finds nothing is no error."""
    assert await db.read(lambda c: c.one("SELECT n FROM counters WHERE name = 'a'")) == {"n": 0}
    assert await db.read(lambda c: c.one("SELECT n FROM counters WHERE name = 'b'")) is None


async def test_returning_tells_which_rows_changed(db: Database) -> None:
    """A compare-and-set is won by whoever gets a row back."""

    async def swap(c: Connection, old: int) -> Row | None:
        sql = "UPDATE counters SET n = n + 1 WHERE name = 'a' AND n = :old RETURNING n"
        return await c.one(sql, old=old)

    assert await db.write(partial(swap, old=0)) == {"n": 1}
    assert await db.write(partial(swap, old=0)) is None


async def test_many_runs_a_statement_per_row_and_fails_as_a_whole(db: Database) -> None:
    """The third row breaks a rule, so the first two are not there either."""
    sql = "INSERT INTO parents VALUES (:id)"
    with pytest.raises(Conflict):
        await db.write(lambda c: c.many(sql, [{"id": "a"}, {"id": "b"}, {"id": "a"}]))
    assert await db.read(lambda c: c.all("SELECT id FROM parents")) == []
    await db.write(lambda c: c.many(sql, [{"id": str(n)} for n in range(1000)]))
    assert await db.read(lambda c: c.one("SELECT COUNT(*) AS n FROM parents")) == {"n": 1000}


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("unique", "INSERT INTO counters VALUES ('a', 1)"),
        ("not_null", "INSERT INTO counters VALUES ('b', NULL)"),
        ("foreign_key", "INSERT INTO children VALUES ('c', 'a secret')"),
    ],
)
async def test_a_broken_rule_of_the_schema_is_a_conflict(db: Database, rule: str, sql: str) -> None:
    """It names the rule, holds nothing of the row, and leaves the database as it was."""
    with pytest.raises(Conflict) as caught:
        await db.write(lambda c: c.run(sql))
    assert caught.value.rule == rule
    assert "secret" not in f"{caught.value!s} {caught.value!r}"
    assert caught.value.__suppress_context__
    assert await db.read(lambda c: c.all("SELECT * FROM counters")) == [{"name": "a", "n": 0}]


async def test_a_rule_that_is_checked_at_commit_fails_the_commit(db: Database) -> None:
    """What the unit returned is not handed out; the next units are not concerned."""
    for _ in range(4):
        with pytest.raises(Conflict):
            await db.write(lambda c: c.run("INSERT INTO children VALUES ('c', 'nobody')"))
    assert await db.read(lambda c: c.all("SELECT id FROM children")) == []
    await db.write(lambda c: c.run("INSERT INTO children VALUES ('c', NULL)"))
    await expect_whole(db)


async def test_a_swallowed_failure_fails_its_unit_all_the_same(db: Database) -> None:
    """PostgreSQL would answer the COMMIT with a rollback, and the caller would not hear of it."""

    async def swallow(c: Connection) -> str:
        await c.run("INSERT INTO parents VALUES ('p')")
        with pytest.raises(Conflict):
            await c.run("INSERT INTO counters VALUES ('a', 1)")
        with pytest.raises(Conflict):
            await c.run("INSERT INTO parents VALUES ('q')")
        return "done"

    with pytest.raises(Conflict):
        await db.write(swallow)
    assert await db.read(lambda c: c.all("SELECT id FROM parents")) == []


@pytest.mark.parametrize("sql", ["SELECT :n", "SELECT nothing FROM nowhere", "SELEKT"])
async def test_a_wrong_statement_says_which_and_never_the_values(db: Database, sql: str) -> None:
    """It is a mistake of ours, so the error is for a developer; the values are for nobody."""
    with pytest.raises(StorageError) as caught:
        await db.read(lambda c: c.run(sql, x="a secret"))
    assert type(caught.value) in (StorageError, Refused)
    assert "secret" not in str(caught.value)
    await expect_whole(db)


async def test_a_read_may_change_nothing(db: Database) -> None:
    """Reads run beside the writer, so what they change would be lost or in the way."""
    with pytest.raises(StorageError):
        await db.read(lambda c: c.run("INSERT INTO parents VALUES ('p')"))
    assert await db.read(lambda c: c.all("SELECT id FROM parents")) == []


async def test_a_read_sees_one_snapshot(db: Database) -> None:
    """A commit between two of its queries is not seen by the second."""
    gate = Gate()

    async def count_twice(c: Connection) -> list[Row | None]:
        first = await c.one("SELECT n FROM counters")
        await gate.passed(c)
        return [first, await c.one("SELECT n FROM counters")]

    counts = asyncio.create_task(db.read(count_twice))
    await gate.begun.wait()
    await db.write(lambda c: c.run("UPDATE counters SET n = 1"))
    gate.open()
    assert await counts == [{"n": 0}, {"n": 0}]


async def test_fifty_concurrent_read_modify_writes_are_all_counted(db: Database) -> None:
    """No update is lost where the read says that a change follows."""

    async def add_one(c: Connection) -> None:
        row = await c.one(f"SELECT n FROM counters WHERE name = 'a'{c.for_update}")
        assert row is not None
        await c.run("UPDATE counters SET n = :n WHERE name = 'a'", n=row["n"] + 1)

    await asyncio.gather(*(db.write(add_one) for _ in range(50)))
    assert await db.read(lambda c: c.one("SELECT n FROM counters")) == {"n": 50}


async def test_the_clock_is_the_databases_in_milliseconds(db: Database) -> None:
    """Heartbeats of many machines are compared by it, so it is not theirs."""
    row = await db.read(lambda c: c.one(f"SELECT {c.clock} AS now"))
    assert row is not None
    assert isinstance(row["now"], int)
    assert abs(row["now"] - time.time() * 1000) < 60_000
    in_a_row = f"SELECT 1 AS one FROM counters WHERE n < {db.clock}"
    assert await db.read(lambda c: c.one(in_a_row)) == {"one": 1}


async def test_a_unit_may_not_open_another(db: Database) -> None:
    """Each would hold a lane while it waits for one; when all do, none moves again."""

    async def nest(_: Connection) -> None:
        await db.write(lambda c: c.run("INSERT INTO parents VALUES ('p')"))

    with pytest.raises(RuntimeError, match="may not open another"):
        await db.write(nest)
    await expect_whole(db)


async def test_a_unit_sees_the_callers_context_and_does_not_bar_it_for_life(db: Database) -> None:
    """A trace id is found in it; and what inherits the unit's context may open units later."""
    trace: ContextVar[str] = ContextVar("trace")
    trace.set("t1")

    async def look(_: Connection) -> tuple[str, Context]:
        return trace.get(), copy_context()

    async def later() -> Row | None:
        return await db.read(lambda c: c.one("SELECT n FROM counters"))

    seen, context = await db.write(look)
    assert seen == "t1"
    assert await asyncio.create_task(later(), context=context) == {"n": 0}


async def test_a_connection_is_of_no_use_after_its_unit(db: Database) -> None:
    """By then another unit may be in the middle of its transaction on it."""

    async def keep(c: Connection) -> Connection:
        return c

    kept = await db.read(keep)
    with pytest.raises(RuntimeError, match="over"):
        await kept.one("SELECT 1")


async def test_a_unit_runs_to_its_end_when_its_caller_leaves(url: str, db: Database) -> None:
    """A client that goes away must not cut a write half-way."""
    gate = Gate()

    async def insert(c: Connection) -> None:
        await c.run("INSERT INTO parents VALUES ('p')")
        await gate.passed(c)
        await c.run("INSERT INTO children VALUES ('c', 'p')")

    caller = asyncio.create_task(db.write(insert))
    await gate.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.open()
    await db.close()
    again = await open_database(url, PATIENT)
    assert await again.read(lambda c: c.all("SELECT id FROM children")) == [{"id": "c"}]
    await again.close()


async def test_cancelled_callers_and_failed_commits_leave_every_lane_in_use(db: Database) -> None:
    """400 units, of which three in four lose their caller at random and one in three its commit.

    Each unit writes two rows: there are both or none, and both where the caller got its answer.
    """
    chance = random.Random(20)

    async def write_pair(c: Connection, pair: int, *, orphan: bool) -> int:
        await c.run("INSERT INTO pairs VALUES (:pair, 1)", pair=pair)
        if orphan:
            await c.run("INSERT INTO children VALUES (:id, 'nobody')", id=str(pair))
        await c.run("INSERT INTO pairs VALUES (:pair, 2)", pair=pair)
        return pair

    async def leave_somewhen(caller: "asyncio.Task[int]") -> None:
        for _ in range(chance.randrange(chance.choice((2, 20, 200, 2000)))):
            await asyncio.sleep(0)
        caller.cancel()

    callers, leaving = [], []
    for pair in range(CANCELS * 4 // 3):
        unit = partial(write_pair, pair=pair, orphan=chance.random() < 1 / 3)
        callers.append(asyncio.create_task(db.write(unit)))
        if chance.random() < 3 / 4:
            leaving.append(asyncio.create_task(leave_somewhen(callers[-1])))
            if chance.random() < 1 / 2:
                await leaving[-1]
    await asyncio.gather(*leaving)
    answers = await asyncio.gather(*callers, return_exceptions=True)

    await expect_whole(db)
    rows = await db.read(lambda c: c.all("SELECT pair, half FROM pairs"))
    halves = {(row["pair"], row["half"]) for row in rows}
    assert halves == {(pair, half) for pair, _ in halves for half in (1, 2)}
    answered = {answer for answer in answers if isinstance(answer, int)}
    assert answered <= {pair for pair, _ in halves}
    assert {type(a) for a in answers} >= {asyncio.CancelledError, Conflict, int}


async def test_closing_finishes_what_began_and_refuses_the_rest(url: str, db: Database) -> None:
    """A commit that was promised happens; what has not begun is told so."""
    await db.close()
    with pytest.raises(StorageError, match="closed"):
        await db.read(lambda c: c.one("SELECT 1"))
    again = await open_database(url, PATIENT)
    gate = Gate()

    async def insert(c: Connection) -> str:
        await gate.passed(c)
        await c.run("INSERT INTO parents VALUES ('p')")
        return "committed"

    first = asyncio.create_task(again.write(insert))
    await gate.begun.wait()
    closing = asyncio.create_task(again.close())
    await asyncio.sleep(0)
    gate.open()
    await closing
    assert await first == "committed"
    with pytest.raises(StorageError, match="closed"):
        await again.write(insert)


def test_nobody_opens_a_transaction_of_databases() -> None:
    """It loses its connection when its task is cancelled or its COMMIT fails."""
    root = Path(__file__).parents[3]
    sources = [path for part in ("storage", "server") for path in (root / part).rglob("*.py")]
    assert [path for path in sources if ".transaction(" in path.read_text()] == []
