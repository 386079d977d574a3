"""A migrated database per module and kind, a tenant of its own per test."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from storage.sql import Options, open_database
from storage.sql.migrate import migrate
from tests.support.plans import full_scans
from tests.support.rows import World

KINDS = ("sqlite", "postgresql", "pgbouncer")
# A thousand at a time is what some tests are about; being refused in time is the database's own.
PATIENT = Options(waiting=5000, turn=120.0, statement=60.0, exclusive=False)

_tenants = count(1)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which way to a database."""
    return str(request.param)


@pytest.fixture(scope="module")
def rows_url(
    request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A database of the module's own."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('rows')}/test.db"
    fixture = {"postgresql": "fresh_postgres", "pgbouncer": "fresh_pgbouncer"}[kind]
    return str(request.getfixturevalue(fixture)())


@pytest.fixture
async def world(rows_url: str) -> AsyncIterator[World]:
    """A store over it, with a tenant nobody else uses."""
    db = await open_database(rows_url, PATIENT)
    await migrate(db)
    world = World(db, f"tenant-{next(_tenants)}")
    yield world
    await db.close()
    if db.dialect == "sqlite":
        # Whatever a test made the store say to the database has an index to be answered by.
        path = rows_url.removeprefix("sqlite:///")
        assert full_scans(path, world.db.statements) == []
