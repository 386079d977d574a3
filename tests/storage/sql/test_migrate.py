"""Migrations are applied once each, whole, in order, however many processes try."""

import asyncio
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from storage.errors import MigrationError, StorageError
from storage.sql import Database, Row, open_database
from storage.sql.migrate import load, migrate, pending
from tests.storage.sql.conftest import PATIENT, Outsider

ROOT = Path(__file__).parents[3]
PROCESSES = 20
MIGRATE = """
import asyncio, sys
from pathlib import Path
from storage.sql import Options, open_database
from storage.sql.migrate import migrate

async def main():
    db = await open_database(sys.argv[1], Options(exclusive=False, turn=30, statement=30))
    print("ready", flush=True)
    sys.stdin.readline()
    for migration in await migrate(db, Path(sys.argv[2])):
        print(migration.number)
    await db.close()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    write(folder, "0001_first.sql", "CREATE TABLE a (n INTEGER);\nINSERT INTO a VALUES (1);\n")
    write(folder, "0002_second.sql", "CREATE TABLE b (n INTEGER); INSERT INTO b SELECT n FROM a;")
    return folder


def write(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(sql)


async def rows(db: Database, table: str) -> list[Row]:
    return await db.read(lambda c: c.all(f"SELECT * FROM {table}"))


async def test_pending_migrations_are_applied_in_order_and_once(db: Database, folder: Path) -> None:
    """The second call finds nothing to do."""
    assert [str(step) for step in await pending(db, folder)] == ["0001 first", "0002 second"]
    assert [str(step) for step in await migrate(db, folder)] == ["0001 first", "0002 second"]
    assert await pending(db, folder) == []
    assert await migrate(db, folder) == []
    assert await rows(db, "b") == [{"n": 1}]


async def test_a_new_file_is_applied_on_top(db: Database, folder: Path) -> None:
    """What was there before is not touched."""
    await migrate(db, folder)
    write(folder, "0003_third.sql", "ALTER TABLE b ADD COLUMN m TEXT;")
    assert [step.number for step in await migrate(db, folder)] == [3]
    assert await rows(db, "b") == [{"n": 1, "m": None}]


async def test_a_file_that_fails_leaves_nothing_of_itself(db: Database, folder: Path) -> None:
    """Its tables are rolled back with it; what came before stays; mended, it is applied."""
    write(folder, "0003_third.sql", "CREATE TABLE c (n INTEGER); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(MigrationError, match=r"migration 0003 third failed: .*nowhere") as failed:
        await migrate(db, folder)
    assert "INSERT" not in str(failed.value)
    assert [step.number for step in await pending(db, folder)] == [3]
    with pytest.raises(StorageError):
        await rows(db, "c")
    write(folder, "0003_third.sql", "CREATE TABLE c (n INTEGER);")
    assert [step.number for step in await migrate(db, folder)] == [3]
    assert await rows(db, "c") == []


async def test_a_file_can_hold_whatever_sql_can(db: Database, folder: Path) -> None:
    """Semicolons in texts and comments do not end a statement, nor do those in a trigger."""
    sql = "-- first; then\nCREATE TABLE c (t TEXT); /* one; two */ INSERT INTO c VALUES ('a;b'';');"
    if db.dialect == "sqlite":
        sql += "CREATE TRIGGER d AFTER INSERT ON c BEGIN SELECT 1; SELECT ';'; END;"
    write(folder, "0003_third.sql", f"{sql}\n-- the end; really\n")
    await migrate(db, folder)
    assert await rows(db, "c") == [{"t": "a;b';"}]


async def test_a_changed_file_is_refused(db: Database, folder: Path) -> None:
    """What it would make differs from what it made; the words say which and what to do."""
    await migrate(db, folder)
    write(folder, "0001_first.sql", "CREATE TABLE a (n BIGINT);")
    for look in (migrate, pending):
        with pytest.raises(MigrationError, match=r"0001 first .* new migration"):
            await look(db, folder)


async def test_a_database_newer_than_the_program_is_refused(db: Database, folder: Path) -> None:
    """Its tables may not be what this program takes them for."""
    await migrate(db, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"newer than this program: it has .* 0002 second"):
        await migrate(db, folder)


async def test_a_database_that_lacks_a_step_is_refused(db: Database, folder: Path) -> None:
    """Somebody has tampered with it."""
    await migrate(db, folder)
    await db.write(lambda c: c.run("DELETE FROM migrations WHERE number = 1"))
    with pytest.raises(MigrationError, match="not 0001"):
        await migrate(db, folder)


async def test_rows_that_a_file_cannot_take_are_named_in_words(db: Database, folder: Path) -> None:
    """Somebody has put in by hand what the new rule forbids."""
    await migrate(db, folder)
    await db.write(lambda c: c.run("INSERT INTO a VALUES (1)"))
    write(folder, "0003_third.sql", "CREATE UNIQUE INDEX a_once ON a (n);")
    with pytest.raises(MigrationError, match=r"migration 0003 third failed: .*rule unique"):
        await migrate(db, folder)


@pytest.mark.parametrize("table", ["a (x INTEGER)", "migrations (id INTEGER, batch INTEGER)"])
async def test_a_database_with_a_table_where_ours_would_be_is_another_programs(
    db: Database, folder: Path, table: str
) -> None:
    """Nothing is changed, and no SQL is shown."""
    await db.write(lambda c: c.script(f"CREATE TABLE {table}"))
    for look in (migrate, pending):
        with pytest.raises(MigrationError, match=r"another program's database.*not changed"):
            await look(db, folder)
    with pytest.raises(StorageError):
        await rows(db, "b")


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_tables_of_others_beside_ours_are_nobodys_business(
    db: Database, folder: Path
) -> None:
    """PostgreSQL's extensions have some."""
    await db.write(lambda c: c.script("CREATE TABLE spatial_ref_sys (x INTEGER)"))
    assert [step.number for step in await migrate(db, folder)] == [1, 2]


@pytest.mark.parametrize("name", ["0004_gap.sql", "0002_twice.sql", "3_short.sql", "notes.txt"])
def test_a_folder_with_a_gap_or_a_stranger_is_refused(folder: Path, name: str) -> None:
    """Found by whoever adds it, before any database is touched."""
    write(folder, name, "SELECT 1;")
    with pytest.raises(MigrationError, match=r"NNNN|0001, 0002"):
        load(folder)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_both_dialects_have_the_same_steps(dialect: str) -> None:
    """A database of one kind can be copied to the other."""
    folder = files("storage.sql") / "migrations"
    steps = [str(step) for step in load(folder / dialect)]
    assert steps == [str(step) for step in load(folder / "sqlite")] != []


async def test_the_shipped_migrations_apply(db: Database) -> None:
    """To an empty database, and leave nothing pending."""
    applied = await migrate(db)
    assert applied == load(files("storage.sql") / "migrations" / db.dialect)
    assert await pending(db) == []


async def test_twenty_processes_apply_each_migration_once(url: str, folder: Path) -> None:
    """Started behind a barrier, on one database; nobody fails and nothing is done twice."""
    for number in range(3, 11):
        sql = f"CREATE TABLE t{number} (n INTEGER); INSERT INTO t{number} VALUES ({number});"
        write(folder, f"{number:04}_more.sql", sql)
    arguments = (sys.executable, "-c", MIGRATE, url, str(folder))
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdin=pipe, stdout=pipe)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert sorted(int(number) for output, _ in outputs for number in output.split()) == [
        *range(1, 11)
    ]
    db = await open_database(url, PATIENT)
    assert [row["number"] for row in await rows(db, "migrations ORDER BY number")] == [
        *range(1, 11)
    ]
    assert await rows(db, "t10") == [{"n": 10}]
    await db.close()


@pytest.mark.parametrize("kind", ["postgresql", "pgbouncer"], indirect=True)
async def test_a_migration_gives_way_to_whoever_uses_its_table(
    db: Database, folder: Path, outsider: Outsider
) -> None:
    """Waiting in the queue for the table it would hold up all who only read; it tries again."""
    await migrate(db, folder)
    write(folder, "0003_third.sql", "ALTER TABLE b ADD COLUMN m TEXT;")
    async with outsider.transaction():
        await outsider.fetch("SELECT * FROM b")
        migrating = asyncio.create_task(migrate(db, folder))
        waits = "SELECT 1 FROM pg_locks WHERE relation = 'b'::regclass AND NOT granted"
        while not await outsider.fetch(waits):
            assert not migrating.done()
        while await outsider.fetch(waits):
            assert not migrating.done()
        assert await rows(db, "b") == [{"n": 1}]
    assert [step.number for step in await migrating] == [3]
