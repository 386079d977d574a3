"""Statements that read a whole table, found by asking SQLite how it would run them."""

import re
import sqlite3
from collections.abc import Iterable
from functools import cache

# Small by nature: a row per process, schedule or tenant; or what the statement itself brought.
SMALL = {"incarnations", "i", "schedules", "tenants", "item", "b", "said"}
# These indexes hold what is unfinished and nothing else, so reading one whole is meant.
PARTIAL = {"answers_unfinished", "commits_unlogged", "jobs_due", "jobs_dead", "tool_calls_expiring"}

_SCAN = re.compile(r"SCAN (?!CONSTANT)(?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")


class _Unbound(dict[str, None]):
    """Any bind, as NULL: the plan depends on none."""

    def __missing__(self, key: str) -> None:
        return None


def full_scans(path: str, statements: Iterable[str]) -> list[str]:
    """Each step that reads a table from end to end, with its statement."""
    return [problem for sql in set(statements) for problem in _scans(path, sql)]


@cache
def _scans(path: str, sql: str) -> tuple[str, ...]:
    connection = sqlite3.connect(path)
    try:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", _Unbound()).fetchall()
    finally:
        connection.close()
    return tuple(f"{step[3]}: {sql}" for step in steps if _is_full(step[3]))


def _is_full(step: str) -> bool:
    scan = _SCAN.match(step)
    return scan is not None and scan["table"] not in SMALL and scan["index"] not in PARTIAL
