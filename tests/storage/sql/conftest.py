"""The three ways to a database, each fresh for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from storage.sql import Database, Options, open_database
from tests.conftest import Makes
from tests.support.services import Pgbouncer

Outsider: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PATIENT = Options(turn=30.0, statement=30.0, connect=30.0)
SERVERS = {"postgresql": "postgres", "pgbouncer": "pgbouncer"}
KINDS = ("sqlite", *SERVERS)


class TightPgbouncer(Pgbouncer):
    """Two server connections for however many clients, so that they meet on them all the time."""

    def prepare(self) -> None:
        super().prepare()
        file = self.folder / "pgbouncer.ini"
        file.write_text(file.read_text().replace("default_pool_size = 20", "default_pool_size = 2"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the three; a test may parametrise it to fewer."""
    return str(request.param)


@pytest.fixture(scope="session")
def one_postgres(fresh_postgres: Makes) -> str:
    """One database for all tests: making one takes longer than emptying it."""
    return fresh_postgres()


@pytest.fixture(scope="session")
def one_pgbouncer(fresh_pgbouncer: Makes) -> str:
    """The same behind a pooler."""
    return fresh_pgbouncer()


@pytest.fixture
async def url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> str:
    """An empty database."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    url = str(request.getfixturevalue(f"one_{SERVERS[kind]}"))
    connection = await asyncpg.connect(past_the_pooler(request, url))
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return url


def past_the_pooler(request: pytest.FixtureRequest, url: str) -> str:
    server = os.environ.get("TEST_DATABASE_URL") or request.getfixturevalue("postgres_server").url()
    return urlsplit(str(server))._replace(path=urlsplit(url).path).geturl()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """An open database that bears a busy machine; nothing may go wrong behind the tests' backs."""
    accidents: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: accidents.append(context))
    database = await open_database(url, PATIENT)
    yield database
    await database.close()
    assert accidents == []


@pytest.fixture
async def outsider(request: pytest.FixtureRequest, kind: str, url: str) -> AsyncIterator[Outsider]:
    """Another client of the same PostgreSQL database, always past the pooler."""
    assert kind != "sqlite"
    connection = await asyncpg.connect(past_the_pooler(request, url))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def tight_pgbouncer(request: pytest.FixtureRequest) -> Iterator[TightPgbouncer]:
    """A pooler with fewer server connections than any process has lanes."""
    with TightPgbouncer(request.getfixturevalue("postgres_server").url()) as server:
        yield server
