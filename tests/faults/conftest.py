"""What towns stand on."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.faults.plans import shares
from tests.faults.town import Town, town_in
from tests.support.services import Redis


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Who takes `seeds` gets those of its module, town by town."""
    if "seeds" in metafunc.fixturenames:
        towns = shares(metafunc.module.SEEDS)
        ids = [f"seeds {seeds[0]}-{seeds[-1]}" for seeds in towns]
        metafunc.parametrize("seeds", towns, ids=ids)


@pytest.fixture(params=["first", "second", "third"])
def thrice() -> None:
    """A fault without chances of its own is met so often, each time from the beginning."""


@pytest.fixture
def database(fresh_postgres: Callable[[], str]) -> str:
    """A database of the test's own."""
    return fresh_postgres()


@pytest.fixture
async def town(tmp_path: Path, database: str, fresh_redis: Redis) -> AsyncIterator[Town]:
    """Two servers over one database and one Redis, not started."""
    async with town_in(tmp_path, database, fresh_redis.url()) as town:
        yield town
