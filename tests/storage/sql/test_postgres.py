"""What only PostgreSQL brings: servers that go away, locks of others, poolers in between."""

import asyncio
import time
from functools import partial
from urllib.parse import urlsplit

import pytest

from storage.errors import Busy, Overloaded, TooSlow, Unavailable, Unsupported
from storage.sql import Connection, Database, Options, Row, open_database
from storage.sql.postgres import CLASH_RETRIES, PostgreSQL
from tests.storage.sql.conftest import Outsider, TightPgbouncer
from tests.storage.sql.units import TABLE, backend, expect_whole, ids, insert


@pytest.fixture(params=["postgresql", "pgbouncer"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


direct = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)


@pytest.fixture
async def table(db: Database) -> None:
    await db.write(lambda c: c.script(TABLE))


@pytest.mark.usefixtures("table")
async def test_a_table_locked_from_outside_is_overload_and_leaves_reads_their_lanes(
    url: str, outsider: Outsider
) -> None:
    """Ten writers are held up in four lanes; a read elsewhere goes through meanwhile."""
    db = await open_database(url, Options(statement=1.0, turn=1.0))
    await db.write(lambda c: c.script("CREATE TABLE elsewhere (n BIGINT)"))
    async with outsider.transaction():
        await outsider.execute("LOCK TABLE t IN EXCLUSIVE MODE")
        async with asyncio.timeout(10):
            writes = [asyncio.create_task(db.write(insert)) for _ in range(10)]
            assert await db.read(lambda c: c.all("SELECT n FROM elsewhere")) == []
            failures = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(failure, Overloaded) for failure in failures)
    await db.write(insert)
    assert await ids(db) == ["a"]
    await expect_whole(db)
    await db.close()


@pytest.mark.alone
@pytest.mark.usefixtures("table")
async def test_who_waited_for_a_turn_waits_no_second_time_for_a_lock(
    url: str, outsider: Outsider
) -> None:
    """One lane: the second unit has its turn when the first one's time is over, as is its own."""
    db = await open_database(url, Options(statement=2.0, turn=60.0, writers=1))
    async with outsider.transaction():
        await outsider.execute("LOCK TABLE t IN EXCLUSIVE MODE")
        writes = (db.write(partial(insert, key=key)) for key in "abc")
        began = time.monotonic()
        failures = await asyncio.gather(*writes, return_exceptions=True)
        lasted = time.monotonic() - began
    assert [type(failure) for failure in failures] == [TooSlow] * 3
    assert 2.0 <= lasted < 4.0
    await db.write(insert)
    await db.close()


@pytest.mark.usefixtures("table")
async def test_a_deadlock_is_rolled_back_and_repeated(db: Database) -> None:
    """The server ends one of the two; its unit has its turn after the other."""
    for key in ("a", "b"):
        await db.write(partial(insert, key=key))
    both_hold_one = asyncio.Barrier(2)
    begun = 0

    async def unit(c: Connection, first: str, second: str) -> None:
        nonlocal begun
        begun += 1
        add = "UPDATE t SET n = n + 1 WHERE id = :id"
        await c.run(add, id=first)
        if begun <= 2:
            await both_hold_one.wait()
        await c.run(add, id=second)

    await asyncio.gather(db.write(partial(unit, first="a", second="b")),
                         db.write(partial(unit, first="b", second="a")))  # fmt: skip
    assert begun == 3
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == [{"n": 2}, {"n": 2}]


@pytest.mark.usefixtures("table")
async def test_a_clash_is_repeated_a_few_times_and_then_overload(
    db: Database, outsider: Outsider
) -> None:
    """As with snapshots that another transaction keeps invalidating."""
    for key in ("a", "b"):
        await db.write(partial(insert, key=key))
    attempts = 0

    async def unit(c: Connection, clashes: int) -> int:
        nonlocal attempts
        attempts += 1
        await c.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await c.run("SELECT n FROM t")
        if attempts <= clashes:
            await outsider.execute("UPDATE t SET n = n + 1")
        await c.run("UPDATE t SET n = n + 1")
        return attempts

    assert await db.write(partial(unit, clashes=CLASH_RETRIES)) == CLASH_RETRIES + 1
    attempts = 0
    with pytest.raises(Overloaded, match="clashed"):
        await db.write(partial(unit, clashes=CLASH_RETRIES + 1))
    assert attempts == CLASH_RETRIES + 1


@pytest.mark.usefixtures("table")
async def test_a_migration_beside_us_is_not_noticed(db: Database, outsider: Outsider) -> None:
    """A prepared statement whose columns changed fails once; the unit is repeated."""
    for _ in range(4):
        assert await db.read(lambda c: c.all("SELECT * FROM t")) == []
    await outsider.execute("ALTER TABLE t ADD COLUMN added TEXT")
    await db.write(insert)
    expected = [{"id": "a", "n": 0, "added": None}]
    for _ in range(4):
        assert await db.read(lambda c: c.all("SELECT * FROM t")) == expected


@pytest.mark.usefixtures("table")
async def test_only_telemetry_commits_without_waiting_for_the_disk(db: Database) -> None:
    """The setting ends with its transaction, also on a connection that others get next."""

    async def setting(c: Connection) -> str:
        row = await c.one("SHOW synchronous_commit")
        assert row is not None
        return str(row["synchronous_commit"])

    for _ in range(4):
        assert await db.write(setting, durable=False) == "off"
        assert await db.write(setting) == "on"


@direct
async def test_a_database_that_does_not_wait_for_its_disk_is_refused(
    url: str, outsider: Outsider
) -> None:
    """An acknowledged message would be lost with the power; the error says what to change."""
    name = urlsplit(url).path[1:]
    await outsider.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    try:
        with pytest.raises(Unsupported, match="ALTER DATABASE … SET synchronous_commit = on"):
            await open_database(url)
    finally:
        await outsider.execute(f'ALTER DATABASE "{name}" RESET synchronous_commit')


async def test_a_pooler_is_found_out(db: Database, kind: str) -> None:
    """By the process number of its greeting, which is not the server's."""
    assert isinstance(db, PostgreSQL)
    assert db.pooled is (kind == "pgbouncer")


@direct
async def test_the_url_can_say_that_there_is_a_pooler(url: str) -> None:
    """For one whose greeting is the server's."""
    db = await open_database(f"{url}?pgbouncer=true")
    assert isinstance(db, PostgreSQL)
    assert db.pooled
    await db.close()


@direct
async def test_many_clients_share_two_server_connections(
    tight_pgbouncer: TightPgbouncer, url: str
) -> None:
    """Three processes' worth of lanes meet on two servers; every answer is the asker's."""
    pooled = tight_pgbouncer.url(urlsplit(url).path[1:])
    options = Options(readers=10, writers=10, connect=30, turn=30, statement=30)
    clients = [await open_database(pooled, options) for _ in range(3)]
    await clients[0].write(lambda c: c.script(TABLE))

    async def unit(c: Connection, key: str) -> list[Row]:
        before = await backend(c)
        await insert(c, key)
        await c.many(
            "UPDATE t SET n = n + :n WHERE id = :id", [{"n": n, "id": key} for n in (1, 2)]
        )
        rows = await c.all("SELECT id, n FROM t WHERE id = :id", id=key)
        assert await backend(c) == before
        return rows

    async def query(c: Connection, key: str) -> Row | None:
        return await c.one(f"SELECT CAST(:{key} AS TEXT) AS {key}", **{key: key})

    keys = [f"k{number}" for number in range(200)]
    writes = [clients[i % 3].write(partial(unit, key=key)) for i, key in enumerate(keys)]
    reads = [clients[i % 3].read(partial(query, key=key)) for i, key in enumerate(keys)]
    written, read = await asyncio.gather(asyncio.gather(*writes), asyncio.gather(*reads))
    assert written == [[{"id": key, "n": 3}] for key in keys]
    assert read == [{key: key} for key in keys]
    for client in clients:
        await client.close()


@direct
async def test_a_lock_is_held_by_one_session_and_freed_with_it(url: str, db: Database) -> None:
    """Two processes that both believe to be the only one would each recover what the other does."""
    other = await open_database(url)
    async with db.hold_lock("recovery") as lost:
        with pytest.raises(Busy, match=r"session \d+ of the database server"):
            async with other.hold_lock("recovery"):
                pass
        async with other.hold_lock("another"):
            pass
        assert not lost.is_set()
    async with other.hold_lock("recovery"):
        pass
    await other.close()


@direct
async def test_a_lock_whose_session_ends_is_reported_lost(db: Database, outsider: Outsider) -> None:
    """From then on another process can have it, so its holder must stop what it protects."""
    async with db.hold_lock("recovery") as lost:
        holders = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        await outsider.execute(holders)
        async with asyncio.timeout(5):
            await lost.wait()


@pytest.mark.parametrize("kind", ["pgbouncer"], indirect=True)
async def test_a_lock_cannot_be_held_through_a_transaction_pooler(db: Database) -> None:
    """It would be taken in a session that serves somebody else a moment later."""
    with pytest.raises(Unsupported, match="use a direct URL"):
        async with db.hold_lock("recovery"):
            pass


@direct
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"netloc": "u:sesame@127.0.0.1:1"}, "cannot be reached"),
        ({"path": "/nowhere"}, "no database of this name"),
        ({"query": "sslmode=require"}, "rejected SSL"),
        ({"netloc": "u:sesame@no-such-host.invalid"}, "cannot be reached"),
    ],
)
async def test_a_server_that_cannot_be_used_is_named_in_words(
    url: str, change: dict[str, str], words: str
) -> None:
    """The start fails with the reason, and without the URL's password."""
    with pytest.raises(Unavailable, match=words) as caught:
        await open_database(urlsplit(url)._replace(**change).geturl())
    assert "sesame" not in f"{caught.value!s} {caught.value!r}"
    assert caught.value.__suppress_context__


async def test_a_statement_that_takes_too_long_is_overload(url: str) -> None:
    """It is cancelled at the server too, and its connection serves on."""
    db = await open_database(url, Options(statement=1.0))
    sleeps = (db.read(lambda c: c.run("SELECT pg_sleep(60)")) for _ in range(4))
    failures = await asyncio.gather(*sleeps, return_exceptions=True)
    assert [type(failure) for failure in failures] == [TooSlow] * 4
    await expect_whole(db)
    await db.close()
