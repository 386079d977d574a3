"""Connections to PostgreSQL that are lost, at every moment of a unit of work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from storage.errors import Overloaded, StorageError, Unavailable
from storage.sql import Connection, Database, Options, open_database
from tests.storage.sql.conftest import Outsider
from tests.storage.sql.units import TABLE, backend, expect_whole, ids, insert
from tests.support.services import Postgres

DIES_AT_COMMIT = """
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.id = 'deadly') EXECUTE FUNCTION die();
"""


@pytest.fixture(params=["postgresql", "pgbouncer"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def table(db: Database) -> None:
    await db.write(lambda c: c.script(TABLE))


class Cutter:
    """A way to the database that ends when the server has answered a COMMIT."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)

    async def __aenter__(self) -> str:
        self._proxy = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._proxy.sockets[0].getsockname()[1]
        return self._server._replace(netloc=f"{self._server.username}@127.0.0.1:{port}").geturl()

    async def __aexit__(self, *_: object) -> None:
        self._proxy.close()
        await self._proxy.wait_closed()

    async def _serve(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        server = self._server
        far, far_end = await asyncio.open_connection(server.hostname, server.port)
        committing = asyncio.Event()

        async def answer() -> None:
            while (data := await far.read(65536)) and not committing.is_set():
                near_end.write(data)
            near_end.close()

        answering = asyncio.create_task(answer())
        while data := await near.read(65536):
            if b"COMMIT" in data:
                committing.set()
            far_end.write(data)
        far_end.close()
        await answering


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("first", ["a write", "a look"])
async def test_connections_that_the_server_dropped_heal_on_the_next_query(
    db: Database, outsider: Outsider, first: str
) -> None:
    """As when a server sleeps that nobody used: no caller hears of it."""
    await expect_whole(db)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
    assert len(await outsider.fetch(f"{others} AND datname = current_database()", "parley")) > 0
    if first == "a look":
        assert await db.look("SELECT id FROM t") == []
    await db.write(insert)
    assert await ids(db) == ["a"]
    await expect_whole(db)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
async def test_a_connection_lost_before_commit_repeats_the_unit_once(
    db: Database, outsider: Outsider, write: bool
) -> None:
    """Nothing was done, so doing it again is safe: the row is there once."""
    backends = []

    async def unit(c: Connection) -> str:
        backends.append(await backend(c))
        if write:
            await insert(c)
        if len(backends) == 1:
            await outsider.fetchval("SELECT pg_terminate_backend($1)", backends[0])
        await c.run("SELECT 1")
        return "done"

    assert await (db.write(unit) if write else db.read(unit)) == "done"
    assert len(set(backends)) == 2
    assert await ids(db) == (["a"] if write else [])
    await expect_whole(db)


@pytest.mark.usefixtures("table")
async def test_a_connection_lost_each_time_is_unavailable_and_nothing_was_done(
    db: Database, outsider: Outsider
) -> None:
    """The second attempt is the last."""

    async def unit(c: Connection) -> None:
        await insert(c)
        await outsider.fetchval("SELECT pg_terminate_backend($1)", await backend(c))
        await c.run("SELECT 1")

    with pytest.raises(Unavailable) as caught:
        await db.write(unit)
    assert not caught.value.outcome_unknown
    assert await ids(db) == []
    await expect_whole(db)


@pytest.mark.usefixtures("table")
async def test_a_connection_lost_between_the_last_statement_and_commit_repeats_the_unit(
    db: Database, outsider: Outsider
) -> None:
    """The loss is noticed before COMMIT is sent, or by it; then its outcome is not known."""
    attempts = 0

    async def unit(c: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await c.run("INSERT INTO t (id) VALUES ('a') ON CONFLICT DO NOTHING")
        if attempts == 1:
            await outsider.fetchval("SELECT pg_terminate_backend($1)", await backend(c))

    lost: list[Unavailable] = []
    try:
        await db.write(unit)
    except Unavailable as unavailable:
        lost.append(unavailable)
    assert (attempts, await ids(db)) == ((1, []) if lost else (2, ["a"]))
    assert all(unavailable.outcome_unknown for unavailable in lost)
    await expect_whole(db)


@pytest.mark.usefixtures("table")
async def test_a_server_that_dies_in_commit_leaves_the_outcome_unknown(db: Database) -> None:
    """Whether COMMIT took effect cannot be told from here, so nothing is repeated."""
    await db.write(lambda c: c.script(DIES_AT_COMMIT))
    attempts = 0

    async def unit(c: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await insert(c, "deadly")

    with pytest.raises(Unavailable) as caught:
        await db.write(unit)
    assert caught.value.outcome_unknown
    assert attempts == 1
    assert await ids(db) == []
    await expect_whole(db)


@pytest.mark.usefixtures("table")
async def test_a_commit_whose_answer_is_lost_leaves_the_outcome_unknown(
    url: str, db: Database
) -> None:
    """Here it did take effect: whoever resends finds the row by its id."""
    async with Cutter(url) as cut_url:
        cut = await open_database(cut_url, Options(readers=1, writers=1))
        with pytest.raises(Unavailable) as caught:
            await cut.write(insert)
        await cut.close()
    assert caught.value.outcome_unknown
    assert await ids(db) == ["a"]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
async def own(server: Postgres) -> AsyncIterator[Database]:
    db = await open_database(server.url(), Options(turn=1.0, statement=1.0, connect=1.0))
    yield db
    await db.close()


async def test_a_restarted_server_is_found_again(server: Postgres, own: Database) -> None:
    """While it is away all is unavailable, and afterwards nothing is left of it."""
    await expect_whole(own)
    server.kill9()
    for _ in range(10):
        with pytest.raises(Unavailable):
            await own.write(backend)
    server.start()
    await expect_whole(own)


async def test_a_frozen_server_costs_a_bounded_time(server: Postgres, own: Database) -> None:
    """Connections stay open and nothing answers, not even a goodbye; then it thaws."""
    await expect_whole(own)
    another = await open_database(server.url(), Options(statement=1.0))
    await expect_whole(another)
    with server.stop_cont():
        async with asyncio.timeout(15):
            units = [own.write(backend) for _ in range(20)] + [own.read(backend)]
            failures = await asyncio.gather(*units, return_exceptions=True)
            await another.close()
    assert all(isinstance(failure, Overloaded | Unavailable) for failure in failures)
    async with asyncio.timeout(10):
        while True:
            try:
                await own.write(backend)
                break
            except StorageError:
                continue
    await expect_whole(own)
