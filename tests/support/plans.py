"""Statements that read a whole table, or a tenant's part of it, found by asking SQLite."""

import re
import sqlite3
from collections.abc import Iterable
from functools import cache

# Small by nature: a row per process, schedule, tenant or site; or what the statement brought.
SMALL = {"incarnations", "i", "schedules", "tenants", "sites", "item", "b", "said", "lately"}
# These indexes hold what is unfinished or shut out and nothing else; reading one whole is meant.
PARTIAL = {
    "answers_unfinished",
    "commits_unlogged",
    "jobs_due",
    "jobs_dead",
    "tool_calls_expiring",
    "users_disabled",
}

# What of a tenant is read whole: a single row, or what is listed.
OF_TENANT = {"audit", "audit_heads", "keys", "sites"}

_TENANT = re.compile(r"SEARCH (?P<table>\w+) .*\(tenant=\?\)$")
# The whole of a conversation, which is read by who looks for a text in it and by nobody else.
_OF_CONVERSATION = re.compile(
    r"SEARCH \w+ .*\bmessages_in_order \(tenant=\? AND conversation=\?\)$"
)
_SCAN = re.compile(r"SCAN (?!CONSTANT)(?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")


class _Unbound(dict[str, None]):
    """Any bind, as NULL: the plan depends on none."""

    def __missing__(self, key: str) -> None:
        return None


def full_scans(path: str, statements: Iterable[str]) -> list[str]:
    """Each step that reads a table or a tenant's part of it from end to end, and its statement."""
    return [problem for sql in set(statements) for problem in _scans(path, sql)]


@cache
def _scans(path: str, sql: str) -> tuple[str, ...]:
    connection = sqlite3.connect(path)
    try:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", _Unbound()).fetchall()
    finally:
        connection.close()
    if ":visitor" in sql:  # who becomes a user, once: all rows that are theirs
        return ()
    searching = ":sought0" in sql
    return tuple(f"{step[3]}: {sql}" for step in steps if _is_full(step[3], searching=searching))


def _is_full(step: str, *, searching: bool) -> bool:
    if _OF_CONVERSATION.match(step):
        return not searching
    if search := _TENANT.match(step):
        return search["table"] not in OF_TENANT
    scan = _SCAN.match(step)
    return scan is not None and scan["table"] not in SMALL and scan["index"] not in PARTIAL
