"""`parley migrate`: brings the database up to date."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.cli import folder
from server.cli.serving import living, why_not
from server.config import Settings
from storage.errors import MigrationError, StorageError
from storage.sql import Database, open_database
from storage.sql.migrate import Migration, migrate, pending


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`migrate` takes nothing."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring the database up to date",
        description="Applies the migrations that the database lacks. Where a server runs from the "
        "data folder, says which it has.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    here = living(settings)
    if here is not None and settings.store_url.startswith("sqlite:"):
        serving, health = here
        print(
            f"The server at {serving.url} (process {serving.pid}) holds the database, and has "
            f"migrated it to version {health.schema_version}."
        )
        return 0
    try:
        applied = asyncio.run(brought_up_to_date(settings))
    except StorageError as error:
        print(f"The database was not migrated: {why_not(settings, error)}", file=sys.stderr)
        return 1
    for migration in applied:
        print(f"applied {migration}")
    if not applied:
        print("There is nothing to do.")
    return 0


async def brought_up_to_date(settings: Settings) -> list[Migration]:
    """Applies what the database lacks, and says what that was."""
    async with _opened(settings) as db:
        return await migrate(db)


async def refuse_pending(settings: Settings) -> None:
    """MigrationError for a database that lacks migrations."""
    async with _opened(settings) as db:
        todo = await pending(db)
    if todo:
        problem = f"The database lacks migrations ({', '.join(map(str, todo))})"
        raise MigrationError(problem, "Run `parley migrate`, or `parley serve --migrate`.")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    folder.make(settings.data_dir)
    db = await open_database(settings.store_url, settings.database)
    try:
        yield db
    finally:
        await db.close()
