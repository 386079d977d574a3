"""SQL storage over `databases`: SQLite for one process, PostgreSQL for many.

db = await open_database("sqlite:///data/parley.db", Options())
await migrate(db)
"""

from storage.sql.database import Connection, Database, Load, Options, Row, Value

__all__ = ["Connection", "Database", "Load", "Options", "Row", "Value", "open_database"]


async def open_database(url: str, options: Options | None = None) -> Database:
    """The database at `sqlite:///…` or `postgresql://…`, ready for use."""
    # Each loads drivers that take longer to load than most commands to run.
    if url.startswith("sqlite:"):
        from storage.sql.sqlite import SQLite  # noqa: PLC0415

        return await SQLite.open(url, options or Options())
    from storage.sql.postgres import PostgreSQL  # noqa: PLC0415

    return await PostgreSQL.open(url, options or Options())
