"""Numbered SQL files, applied once each and in order; `migrations/README.md` has the rules.

However many processes migrate one database at a time, each step is taken by one of them: it looks
again under a lock for what is still to do. A file and its row in `migrations` are one transaction.
"""

import asyncio
import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from storage.errors import Conflict, MigrationError, Overloaded
from storage.sql.database import Connection, Database, Dialect, Refused, T

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
_COLUMNS: dict[Dialect, str] = {
    "sqlite": "SELECT name FROM pragma_table_info('migrations')",
    "postgresql": "SELECT attname AS name FROM pg_attribute"
    " WHERE attrelid = to_regclass('migrations') AND attnum > 0 AND NOT attisdropped",
}
_TABLES: dict[Dialect, str] = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table'",
    "postgresql": "SELECT tablename AS name FROM pg_tables"
    " WHERE schemaname = ANY (current_schemas(false))",
}
_MADE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)


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
    if not await _has_ours(c, migrations):
        return list(migrations)
    with _in_words("Reading which migrations were applied"):
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


async def _has_ours(c: Connection, migrations: Sequence[Migration]) -> bool:
    """Whether a migration was applied; refuses what others have made.

    Tables that we would not make are nobody's business here: PostgreSQL's extensions have some,
    and a SQLite file that has only such was refused when it was opened.
    """
    columns = {row["name"] for row in await c.all(_COLUMNS[c.dialect])}
    if "checksum" in columns:
        return True
    made = {name for migration in migrations for name in _MADE.findall(migration.sql)}
    others = sorted({row["name"] for row in await c.all(_TABLES[c.dialect])} & made)
    if columns or others:
        table = "migrations" if columns else others[0]
        problem = f"this is another program's database: its table {table} is not Parley's"
        raise MigrationError(problem, "It was not changed. Have DATABASE_URL name another one.")
    return False


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Whoever migrates reads the database's own words, and no SQL of ours."""
    try:
        yield
    except Refused as refused:
        why = refused.why
    except Conflict as conflict:
        why = str(conflict)
    else:
        return
    remedy = "Nothing was changed by it. See that the role may create tables, and that nobody else"
    raise MigrationError(f"{what} failed: {why}", f"{remedy} has changed this database.") from None


async def _step(c: Connection, migrations: Sequence[Migration]) -> Migration | None:
    """Applies one migration and returns it; None if other processes were faster."""
    if c.dialect == "postgresql":  # where SQLite has one writer at a time
        await c.run("SELECT pg_advisory_xact_lock(CAST(:lock AS BIGINT))", lock=LOCK)
        await c.run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    with _in_words("Making the table of migrations"):
        await c.run(_TABLE)
    todo = await _pending(c, migrations)
    if not todo:
        return None
    migration = todo[0]
    with _in_words(f"migration {migration}"):
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
