"""Units of work in the thread of a SQLite connection, each in one visit from first to last.

A visit costs several times what most statements do, and a busy event loop is slow to take up what
came back: with a visit per statement a unit would wait for the loop ten times over.

Writes that wait for the same lane share a visit and a transaction, for most of a small write is its
COMMIT. None sees less of the others than if they had run one by one, and each is undone alone.
"""

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import aiosqlite

from storage.errors import StorageError, Unavailable
from storage.sql.database import Work, transact
from storage.sql.lanes import Lanes, Unit
from storage.sql.sqlite_driver import Savepoint, SqliteDriver

T = TypeVar("T")
Outcome: TypeAlias = Callable[[], Any]  # returns or raises what the unit did

TOGETHER = 16  # writes in one transaction; the first of them waits for the last


class Reads(Lanes[Any]):
    """Lanes of connections that read."""

    async def _serve(self, held: aiosqlite.Connection, unit: Unit[Any]) -> None:
        if unit.begin():
            await _visit(held, [unit], _reads)


class Writes(Lanes[Any]):
    """The lane of the connection that writes."""

    async def _serve(self, held: aiosqlite.Connection, unit: Unit[Any]) -> None:
        units = [one for one in (unit, *self._more(TOGETHER - 1)) if one.begin()]
        if units:
            await _visit(held, units, _writes)


async def _visit(
    held: aiosqlite.Connection,
    units: Sequence[Unit[Any]],
    run: Callable[[sqlite3.Connection, Sequence[Unit[Any]]], list[Outcome]],
) -> None:
    # There is no public way to have aiosqlite run a function, so a test looks whether this one is
    # still there.
    raw = held._conn  # noqa: SLF001
    try:
        visit = held._execute(run, raw, units)  # type: ignore[no-untyped-call] # noqa: SLF001
        outcomes: list[Outcome] = await visit
    except Exception as error:  # noqa: BLE001 - the callers': it must not end the lane
        outcomes = [partial(_raise, error)] * len(units)
    except BaseException:
        for unit in units:
            unit.result.cancel()
        raise  # the loop is ending
    for unit, outcome in zip(units, outcomes, strict=True):
        unit.end(outcome)


def _reads(raw: sqlite3.Connection, units: Sequence[Unit[Any]]) -> list[Outcome]:
    return [_outcome(SqliteDriver(raw), unit, write=False) for unit in units]


def _writes(raw: sqlite3.Connection, units: Sequence[Unit[Any]]) -> list[Outcome]:
    if len(units) > 1:
        outcomes = to_its_end(_together(raw, units))
        if outcomes is not None:
            return outcomes
    return [_outcome(SqliteDriver(raw), unit, write=True) for unit in units]


async def _together(raw: sqlite3.Connection, units: Sequence[Unit[Any]]) -> list[Outcome] | None:
    """All in one transaction; None if it came to nothing, so that each has to try alone."""
    shared = SqliteDriver(raw)
    try:
        await shared.begin(write=True, durable=True)
    except StorageError as failure:
        return [partial(_raise, failure)] * len(units)
    outcomes = []
    try:
        for unit in units:
            outcomes.append(_outcome(Savepoint(raw), unit, write=True))
            if not raw.in_transaction:
                # SQLite gave up all of it, over a full disk perhaps. The next savepoint would begin
                # a transaction of its own.
                return None
        await shared.commit()
    except StorageError as failure:
        if isinstance(failure, Unavailable) and failure.outcome_unknown:
            return [partial(_raise, failure)] * len(units)
        return None  # of a rule that is checked at the commit, who knows whose
    else:
        return outcomes
    finally:
        await shared.rollback()


def _outcome(driver: SqliteDriver, unit: Unit[Any], *, write: bool) -> Outcome:
    """What the unit came to, in its caller's context."""
    work: Work[Any] = unit.work
    try:
        result = unit.context.run(to_its_end, transact(driver, work, write=write))
    except BaseException as error:  # noqa: BLE001 - the caller's, not the thread's
        return partial(_raise, error)
    return lambda: result


def to_its_end(unit: Coroutine[Any, Any, T]) -> T:
    """A unit waits for its connection alone, and here that never makes it wait."""
    try:
        unit.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    unit.close()  # after a rollback
    raise RuntimeError("a unit of work may wait for nothing but its connection")


def _raise(error: BaseException) -> None:
    raise error
