"""Numbered SQL files, applied once each and in order; `migrations/README.md` has the rules.

However many processes migrate one database at a time, each step is taken by one of them: it looks
again under a lock for what is still to do. A file and its row in `migrations` are one transaction.
"""

import asyncio
import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from storage.errors import MigrationError, Overloaded
from storage.sql.database import Connection, Database, Dialect, T

# Any number will do that nobody else takes; it spells "parley".
LOCK = 0x7061726C6579
# A migration that needs a table others are using gives way after this long, and tries again: while
# it waits in PostgreSQL's queue for the table, everybody else waits behind it.
LOCK_TIMEOUT = "1s"
PATIENCE_SECONDS = 120.0

_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)"
)
_TABLE_EXISTS: dict[Dialect, str] = {
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'",
    "postgresql": "SELECT 1 WHERE to_regclass('migrations') IS NOT NULL",
}


class Migration(Struct, frozen=True):
    """One file; `checksum` tells whether it changed after it was applied."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04} {self.name}"


def load(folder: Traversable) -> list[Migration]:
    """The migrations of a folder in order, numbered 1, 2, 3 … without a gap."""
    migrations = []
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name!r} is no migration", "They are called NNNN_name.sql.")
        migrations.append(Migration(int(match["number"]), match["name"], file.read_text("utf-8")))
    migrations.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(migrations, 1):
        if migration.number != expected:
            problem = f"migration {expected:04} is missing or there twice before {migration}"
            raise MigrationError(problem, "Number the files 0001, 0002, 0003 … without a gap.")
    return migrations


async def migrate(db: Database, folder: Traversable | None = None) -> list[Migration]:
    """Applies what is pending and returns what this call applied; others may get ahead of it."""
    migrations = load(folder or _folder(db))
    applied: list[Migration] = []
    # A look first, so that a role that may not create tables can start where nothing is to do.
    while await _patiently(lambda: db.read(lambda c: _pending(c, migrations))):
        step = await _patiently(lambda: db.write(lambda c: _step(c, migrations)))
        applied += [step] if step is not None else []
    return applied


async def pending(db: Database, folder: Traversable | None = None) -> list[Migration]:
    """What `migrate` would apply."""
    migrations = load(folder or _folder(db))
    return await db.read(lambda c: _pending(c, migrations))


def latest(db: Database) -> int:
    """The number of the newest migration that this program knows."""
    return len(load(_folder(db)))


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    now = asyncio.get_running_loop().time
    patient_until = now() + PATIENCE_SECONDS
    while True:
        try:
            return await attempt()
        except Overloaded as busy:
            if now() > patient_until:
                problem = "the database was too busy to be migrated"
                remedy = "See who holds its tables, and migrate again."
                raise MigrationError(problem, remedy) from None
            await asyncio.sleep(random.uniform(0, busy.retry_after_ms / 1000))  # noqa: S311


async def _pending(c: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """What is not applied yet; refuses a database that these files did not make."""
    if await c.one(_TABLE_EXISTS[c.dialect]) is None:
        return list(migrations)
    rows = await c.all("SELECT number, name, checksum FROM migrations ORDER BY number")
    for expected, row in enumerate(rows, 1):
        applied = f"migration {row['number']:04} {row['name']}"
        if row["number"] != expected:
            problem = f"the database has {applied}, but not {expected:04}"
            raise MigrationError(problem, "Restore it from a backup.")
        if expected > len(migrations):
            problem = f"the database is newer than this program: it has {applied}"
            raise MigrationError(problem, "Run the newest version, or use another database.")
        if row["checksum"] != migrations[expected - 1].checksum:
            problem = f"{applied} was applied with another content than its file has now"
            remedy = "Restore the file, and put the change into a new migration."
            raise MigrationError(problem, remedy)
    return list(migrations[len(rows) :])


async def _step(c: Connection, migrations: Sequence[Migration]) -> Migration | None:
    """Applies one migration and returns it; None if other processes were faster."""
    if c.dialect == "postgresql":  # where SQLite has one writer at a time
        await c.run("SELECT pg_advisory_xact_lock(CAST(:lock AS BIGINT))", lock=LOCK)
        await c.run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    await c.run(_TABLE)
    todo = await _pending(c, migrations)
    if not todo:
        return None
    migration = todo[0]
    await c.script(migration.sql)
    await c.run(
        "INSERT INTO migrations (number, name, checksum, applied_at)"
        f" VALUES (:number, :name, :checksum, {c.clock})",
        number=migration.number,
        name=migration.name,
        checksum=migration.checksum,
    )
    return migration


def _folder(db: Database) -> Traversable:
    return files("storage.sql") / "migrations" / db.dialect
