"""SQLite's errors made ours, without a word of what was written."""

import pytest

from storage.errors import Conflict, StorageError, Unavailable
from storage.sql import Connection, Database


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
async def table(db: Database) -> None:
    await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER CHECK (n < 1000)) STRICT"))


@pytest.mark.usefixtures("table")
async def test_a_wrong_type_or_a_failed_check_is_a_conflict(db: Database) -> None:
    """STRICT tables refuse what SQLite otherwise stores silently."""
    with pytest.raises(Conflict) as caught:
        await db.write(lambda c: c.run("INSERT INTO t VALUES ('a secret')"))
    assert "secret" not in str(caught.value)
    with pytest.raises(Conflict) as caught:
        await db.write(lambda c: c.run("INSERT INTO t VALUES (1000)"))
    assert caught.value.rule == "check"


@pytest.mark.usefixtures("table")
async def test_a_number_too_large_for_any_column_is_refused(db: Database) -> None:
    """Python would raise its own OverflowError."""
    with pytest.raises(StorageError, match="OverflowError"):
        await db.write(lambda c: c.run("INSERT INTO t VALUES (:n)", n=2**63))


async def test_text_that_is_no_unicode_is_refused_without_being_quoted(db: Database) -> None:
    """Python's own error holds all of it."""
    with pytest.raises(StorageError) as caught:
        await db.read(lambda c: c.all("SELECT :text AS text", text="a secret \ud800"))
    assert "secret" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__suppress_context__


async def test_a_full_disk_is_unavailable_and_reads_go_on(db: Database) -> None:
    """SQLite's own page limit stands in for it: the error is the same."""
    await db.write(lambda c: c.script("CREATE TABLE t (n BLOB) STRICT"))

    async def fill(c: Connection) -> None:
        await c.run("PRAGMA max_page_count = 20")
        with pytest.raises(Unavailable):
            await c.run("INSERT INTO t VALUES (:n)", n=b"x" * 1_000_000)
        await c.run("INSERT INTO t VALUES (:n)", n=b"y")  # SQLite has rolled back by itself

    with pytest.raises(Unavailable, match="the disk is full"):
        await db.write(fill)
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == []
    await db.write(lambda c: c.run("INSERT INTO t VALUES (:n)", n=b"x"))
