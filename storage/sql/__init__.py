"""SQL storage over `databases`: SQLite for one process, PostgreSQL for many.

db = await open_database("sqlite:///data/parley.db", Options())
await migrate(db)
"""

from storage.sql.database import Connection, Database, Load, Options, Row, Value
from storage.sql.postgres import PostgreSQL
from storage.sql.sqlite import SQLite

__all__ = ["Connection", "Database", "Load", "Options", "Row", "Value", "open_database"]


async def open_database(url: str, options: Options | None = None) -> Database:
    """The database at `sqlite:///…` or `postgresql://…`, ready for use."""
    engine = SQLite if url.startswith("sqlite:") else PostgreSQL
    return await engine.open(url, options or Options())
