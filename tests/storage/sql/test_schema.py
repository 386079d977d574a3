"""The two schemas are one, as far as their engines let them be."""

from collections.abc import Callable
from pathlib import Path

from storage.sql import Database, open_database
from storage.sql.migrate import migrate

SQLITE_COLUMNS = """
SELECT t.name AS tab, c.name AS col, c."notnull" AS required, c.pk AS pk, lower(c.type) AS kind
FROM sqlite_schema t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name <> 'migrations' AND t.name NOT LIKE :ours
"""
POSTGRESQL_COLUMNS = """
SELECT c.table_name AS tab, c.column_name AS col,
    CASE c.is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS required,
    COALESCE(k.ordinal_position, 0) AS pk,
    CASE c.data_type WHEN 'bigint' THEN 'integer' ELSE c.data_type END AS kind
FROM information_schema.columns c
LEFT JOIN information_schema.table_constraints p
    ON p.table_schema = c.table_schema AND p.table_name = c.table_name
        AND p.constraint_type = 'PRIMARY KEY'
LEFT JOIN information_schema.key_column_usage k
    ON k.constraint_name = p.constraint_name AND k.table_schema = c.table_schema
        AND k.table_name = c.table_name AND k.column_name = c.column_name
WHERE c.table_schema = current_schema() AND c.table_name <> 'migrations'
"""
SQLITE_INDEXES = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
POSTGRESQL_INDEXES = """
SELECT i.indexname AS name FROM pg_indexes i
WHERE i.schemaname = current_schema() AND NOT EXISTS (
    SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)
"""
SQLITE_KEYS = """
SELECT COUNT(DISTINCT t.name || ':' || f.id) AS n
FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
"""
POSTGRESQL_KEYS = """
SELECT COUNT(*) AS n FROM information_schema.table_constraints
WHERE table_schema = current_schema() AND constraint_type = 'FOREIGN KEY'
"""


async def found(db: Database, sql: str, **binds: str) -> set[tuple[object, ...]]:
    rows = await db.read(lambda c: c.all(sql, **binds))
    return {tuple(row.values()) for row in rows}


async def test_both_engines_have_the_same_tables_columns_keys_and_indexes(
    tmp_path: Path, fresh_postgres: Callable[[], str]
) -> None:
    """Names, nullability, primary keys in order, types but for what each calls an integer."""
    sqlite = await open_database(f"sqlite:///{tmp_path}/test.db")
    postgresql = await open_database(fresh_postgres())
    for db in (sqlite, postgresql):
        await migrate(db)
    columns = await found(sqlite, SQLITE_COLUMNS, ours="sqlite_%")
    assert len(columns) > 150
    assert columns == await found(postgresql, POSTGRESQL_COLUMNS)
    assert await found(sqlite, SQLITE_INDEXES) == await found(postgresql, POSTGRESQL_INDEXES)
    assert await found(sqlite, SQLITE_KEYS) == await found(postgresql, POSTGRESQL_KEYS)
    for db in (sqlite, postgresql):
        await db.close()


async def test_every_table_of_sqlite_is_strict(tmp_path: Path) -> None:
    """Else a text in a number's column is stored without a word."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    loose = await found(
        db,
        """
        SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE :ours
            AND name <> 'migrations'
        """,
        ours="sqlite_%",
    )
    await db.close()
    assert loose == set()
