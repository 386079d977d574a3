"""The rows of a database that the checker judges, read by none of our code."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct

Row = Mapping[str, Any]


class Tables(Struct, frozen=True):
    """What is stored; `damage` is what the database found wrong with itself."""

    answers: Sequence[Row]
    messages: Sequence[Row]
    idempotency: Sequence[Row]
    tool_calls: Sequence[Row]
    approvals: Sequence[Row]
    conversations: Sequence[Row]
    commits: Sequence[Row]
    damage: Sequence[str] = ()


NAMES = [name for name in Tables.__struct_fields__ if name != "damage"]


def of_sqlite(file: Path) -> Tables:
    """Read-only, when the server has ended."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows: dict[str, Any] = {n: connection.execute(_all(n)).fetchall() for n in NAMES}
        damage = [
            str(tuple(row))
            for check in ("integrity_check", "foreign_key_check")
            for row in connection.execute(f"PRAGMA {check}")
            if tuple(row) != ("ok",)
        ]
    return Tables(**rows, damage=damage)


def of_postgres(url: str) -> Tables:
    """In one snapshot, and in a thread of its own, because a test's loop may run in this one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, _of_postgres(url)).result()


async def _of_postgres(url: str) -> Tables:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows: dict[str, Any] = {name: await connection.fetch(_all(name)) for name in NAMES}
    finally:
        await connection.close()
    return Tables(**rows)


def _all(name: str) -> str:
    return f"SELECT * FROM {name}"
