"""What only SQLite does: one writer, one process, and a file that keeps its promises."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from storage.errors import (
    Busy,
    Corrupt,
    MigrationError,
    Overloaded,
    TooSlow,
    Unavailable,
)
from storage.sql import Connection, Database, Options, open_database
from storage.sql.sqlite import has_wal_reset_bug

ROOT = Path(__file__).parents[3]
HOLD = """
import asyncio, sys
from storage.sql import open_database

async def hold():
    db = await open_database(sys.argv[1])
    await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER) STRICT;"
        "CREATE TABLE migrations (checksum TEXT)"))  # which makes it one of ours
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
async def table(db: Database) -> None:
    await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER CHECK (n < 1000)) STRICT"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def pragma(c: Connection, name: str) -> object:
    row = await c.one(f"PRAGMA {name}")
    return None if row is None else next(iter(row.values()))


async def test_the_writer_syncs_every_commit_and_minds_foreign_keys(db: Database) -> None:
    """WAL with FULL: an acknowledged write outlives the power."""

    async def settings(c: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [await pragma(c, name) for name in names]

    assert await db.write(settings) == ["wal", 2, 1, 30_000]


async def test_a_reader_can_neither_write_nor_checkpoint(db: Database) -> None:
    """Two connections that do can damage the file, in SQLite before 3.51.3."""

    async def settings(c: Connection) -> list[object]:
        return [await pragma(c, name) for name in ("query_only", "wal_autocheckpoint")]

    assert await db.read(settings) == [1, 0]


@pytest.mark.usefixtures("table")
async def test_writes_happen_in_the_order_they_were_asked_for(db: Database) -> None:
    """One lane, first come, first served."""

    async def insert(c: Connection, n: int) -> None:
        await c.run("INSERT INTO t VALUES (:n)", n=n)

    await asyncio.gather(*(db.write(partial(insert, n=n)) for n in range(100)))
    rows = await db.read(lambda c: c.all("SELECT n FROM t ORDER BY rowid"))
    assert [row["n"] for row in rows] == list(range(100))


@pytest.mark.usefixtures("db")
async def test_a_second_opener_is_refused_with_the_holders_process(url: str) -> None:
    """In this process it would be a second writer lane."""
    with pytest.raises(Busy, match=r"process \d+\. Stop that process first"):
        await open_database(url)


@pytest.mark.usefixtures("db")
async def test_another_name_of_a_file_in_use_is_refused_too(url: str, tmp_path: Path) -> None:
    """A second writer through a link would be as harmful as any."""
    (tmp_path / "link.db").symlink_to(tmp_path / "test.db")
    with pytest.raises(Busy):
        await open_database(f"sqlite:///{tmp_path}/link.db")


async def test_what_people_wrote_is_readable_to_the_owner_of_the_process_alone(
    url: str, tmp_path: Path
) -> None:
    """The database, its WAL and its locks, whatever the umask says."""
    umask = os.umask(0o022)
    try:
        db = await open_database(url)
        await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER) STRICT"))
        modes = modes_in(tmp_path)
        await db.close()
    finally:
        os.umask(umask)
    assert set(modes) == {"test.db", "test.db-wal", "test.db-shm", "test.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_a_mode_that_somebody_gave_the_file_is_kept(url: str, tmp_path: Path) -> None:
    """A group that makes backups may read it."""
    file = tmp_path / "test.db"
    file.touch()
    file.chmod(0o640)
    await (await open_database(url)).close()
    assert modes_in(tmp_path)["test.db"] == 0o640


def vanish(file: Path) -> None:
    file.unlink()


def move(file: Path) -> None:
    file.rename(file.with_name("moved"))


def replace(file: Path) -> None:
    file.with_name("other").touch()
    file.with_name("other").replace(file)


@pytest.mark.parametrize("lose", [vanish, move, replace])
@pytest.mark.usefixtures("table")
async def test_nothing_is_written_to_a_file_that_is_gone(
    db: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[Path], object],
) -> None:
    """A restart would not find it: so it is not acknowledged, and the log says why, once."""
    await db.check()
    lose(tmp_path / "test.db")
    with pytest.raises(Unavailable, match="under this server"):
        await db.check()
    insert = [db.write(lambda c: c.run("INSERT INTO t VALUES (1)")) for _ in range(3)]
    outcomes = await asyncio.gather(*insert, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert not any(isinstance(each, Unavailable) and each.outcome_unknown for each in outcomes)
    (record,) = caplog.records
    assert "so nothing is accepted any more. Put it back" in record.getMessage()


@pytest.mark.usefixtures("table")
async def test_a_file_that_was_put_back_is_written_again(db: Database, tmp_path: Path) -> None:
    """It is the one that was opened, and has everything."""
    file = tmp_path / "test.db"
    move(file)
    with pytest.raises(Unavailable):
        await db.write(lambda c: c.run("INSERT INTO t VALUES (1)"))
    (tmp_path / "moved").rename(file)
    await db.check()
    await db.write(lambda c: c.run("INSERT INTO t VALUES (2)"))
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == [{"n": 2}]


def foreign(file: Path, sql: str) -> bytes:
    """What another program made."""
    with closing(sqlite3.connect(file)) as other:
        other.executescript(sql)
    return file.read_bytes()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE users (x)",
        "CREATE TABLE migrations (id INTEGER PRIMARY KEY, migration TEXT, batch INTEGER)",
    ],
)
async def test_another_programs_file_is_refused_as_it_is(
    url: str, tmp_path: Path, sql: str
) -> None:
    """Not even its journal's mode is changed, and no lock is kept."""
    before = foreign(tmp_path / "test.db", sql)
    for _ in range(2):
        with pytest.raises(MigrationError, match=r"another program's database.*not changed"):
            await open_database(url)
    assert (tmp_path / "test.db").read_bytes() == before
    assert names_in(tmp_path) == ["test.db", "test.db.lock"]


async def test_a_killed_process_leaves_its_file_to_the_next(url: str) -> None:
    """The kernel takes the lock back, and what was committed is there."""
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else is to run meanwhile
        command, cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"):
            await open_database(url)
        holder.send_signal(signal.SIGKILL)
    db = await open_database(url)
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == []
    await db.close()


async def test_a_named_lock_has_one_holder(db: Database) -> None:
    """It is a file beside the database."""
    async with db.hold_lock("sweeper") as lost:
        assert not lost.is_set()
        with pytest.raises(Busy, match="the lock 'sweeper'"):
            async with db.hold_lock("sweeper"):
                pass
        async with db.hold_lock("other"):
            pass
    async with db.hold_lock("sweeper"):
        pass


async def test_a_file_locked_from_outside_is_overload_and_reads_go_on(
    url: str, tmp_path: Path
) -> None:
    """Somebody opened it with another program; a writer waits for a bounded time."""
    db = await open_database(url, Options(statement=0.05))
    await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER) STRICT"))
    outside = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(Overloaded):
        await db.write(lambda c: c.run("INSERT INTO t VALUES (1)"))
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == []
    outside.close()
    await db.write(lambda c: c.run("INSERT INTO t VALUES (1)"))
    assert await db.read(lambda c: c.all("SELECT n FROM t")) == [{"n": 1}]
    await db.close()


async def test_a_read_that_takes_too_long_is_given_up_and_its_lane_goes_on(url: str) -> None:
    """As on PostgreSQL; the other lanes do not notice."""
    db = await open_database(url, Options(statement=0.2, readers=1))
    endless = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS n FROM n
    """
    async with asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(TooSlow):
                await db.read(lambda c: c.all(endless))
            assert await db.read(lambda c: c.one("SELECT 1 AS n")) == {"n": 1}
    await db.close()


async def test_closing_leaves_one_file_and_nothing_beside_it(url: str, tmp_path: Path) -> None:
    """The writer is the last to close, and moves the WAL into the file: it can be copied."""
    db = await open_database(url)
    await db.write(lambda c: c.script("CREATE TABLE t (n INTEGER) STRICT"))
    await db.close()
    assert names_in(tmp_path) == ["test.db", "test.db.lock"]


async def test_a_file_that_is_no_database_is_called_damaged(url: str, tmp_path: Path) -> None:
    """The start fails, and the lock is free again."""
    (tmp_path / "test.db").write_bytes(b"not a database, but long enough to look at" * 100)
    for _ in range(2):
        with pytest.raises(Corrupt):
            await open_database(url)


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The commonest mistake in a path."""
    with pytest.raises(Unavailable, match="nowhere"):
        await open_database(f"sqlite:///{tmp_path}/nowhere/test.db")


async def test_a_path_may_hold_what_means_something_in_a_url(tmp_path: Path) -> None:
    """It is quoted on its way through `databases`."""
    folder = tmp_path / "100% ?#;"
    folder.mkdir()
    db = await open_database(f"sqlite:///{tmp_path}/100%25%20%3F%23;/test.db")
    await db.close()
    assert (folder / "test.db").exists()


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ("3.6.23", False),
        ("3.7.0", True),
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.45.0", True),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.52.0", False),
    ],
)
def test_versions_with_the_wal_reset_bug_are_known(version: str, bug: bool) -> None:
    """For `parley doctor`: fixed in 3.51.3, and in 3.50.7 and 3.44.6 before."""
    assert has_wal_reset_bug(version) is bug
