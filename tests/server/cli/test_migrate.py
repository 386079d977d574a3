"""`parley migrate` says what it did, or who did it."""

import asyncio
import os
from pathlib import Path

import pytest

from server.cli.migrate import refuse_pending
from server.cli.serving import Serving, announced
from server.config import Settings
from storage.errors import MigrationError
from storage.sql import Connection, open_database
from storage.sql.migrate import load, migrate
from tests.server.cli.conftest import Call
from tests.support.health import health, saying
from tests.support.parley import ROOT

MIGRATIONS = load(ROOT / "storage" / "sql" / "migrations" / "sqlite")


async def _spoil(url: str) -> None:
    """A database as a newer version would leave it."""

    async def later(c: Connection) -> None:
        await c.run(
            "INSERT INTO migrations (number, name, checksum, applied_at) VALUES (:n, 'x', '', 0)",
            n=len(MIGRATIONS) + 1,
        )

    db = await open_database(url)
    await migrate(db)
    await db.write(later)
    await db.close()


def test_the_first_run_makes_folder_and_tables(call: Call, folder: Path) -> None:
    """For their owner alone; the second has nothing to do."""
    status, printed, _ = call("migrate")
    assert status == 0
    assert printed.splitlines() == [f"applied {migration}" for migration in MIGRATIONS]
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert call("migrate")[:2] == (0, "There is nothing to do.\n")


def test_a_server_that_holds_the_database_is_asked(call: Call, folder: Path) -> None:
    """It says which version it has, and nothing is opened."""
    (folder / "data").mkdir()
    with saying(health("one")) as asked:
        here = Serving(pid=os.getpid(), url=asked.url, instance="one", version="0", started="")
        with announced(folder / "data", here):
            status, printed, _ = call("migrate")
    assert status == 0
    assert f"server at {asked.url} (process {os.getpid()}) holds the database" in printed
    assert "version 2" in printed
    assert not (folder / "data" / "parley.db").exists()


def test_a_newer_database_is_left_alone(call: Call, folder: Path) -> None:
    """The sentence says what to run."""
    (folder / "data").mkdir()
    asyncio.run(_spoil(f"sqlite:///{folder}/data/parley.db"))
    status, _, complaint = call("migrate")
    assert status == 1
    assert "newer than this program" in complaint


def test_a_folder_that_cannot_be_made_is_named(call: Call, folder: Path) -> None:
    """A file stands in its place."""
    (folder / "data").touch()
    status, _, complaint = call("migrate")
    assert status == 2
    assert "data is no folder." in complaint


async def test_serving_wants_a_database_that_is_up_to_date(tmp_path: Path) -> None:
    """Nobody serves on half a schema; the sentence says how to get the rest."""
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(MigrationError, match=r"lacks migrations .0001 rows.*parley migrate"):
        await refuse_pending(settings)
    db = await open_database(settings.store_url)
    await migrate(db)
    await db.close()
    await refuse_pending(settings)
