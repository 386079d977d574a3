"""A real store on a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.sql import open_database
from storage.sql.migrate import migrate
from tests.support.rows import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Rows, and the database's clock."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    yield World(db, "acme")
    await db.close()
