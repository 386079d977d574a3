"""How a statement and an error of PostgreSQL are read, without a server."""

import asyncpg
import pytest

from storage.errors import Conflict, Corrupt, StorageError, TooSlow, Unavailable
from storage.sql.database import Refused
from storage.sql.postgres_driver import Clash, ConnectionLost, _ours, numbered


@pytest.mark.parametrize(
    ("sql", "made", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT :a::int, :b_2", "SELECT $1::int, $2", ("a", "b_2")),
        ("SELECT ':a', 'it''s :b', :c", "SELECT ':a', 'it''s :b', $1", ("c",)),
        ("""SELECT '{"a":1}', "odd:name", :c""", """SELECT '{"a":1}', "odd:name", $1""", ("c",)),
        ("SELECT :a -- not :b\n, :c", "SELECT $1 -- not :b\n, $2", ("a", "c")),
        ("SELECT /* not :b\n */ :a", "SELECT /* not :b\n */ $1", ("a",)),
        ("SELECT a[1:2] LIKE '%' || :a", "SELECT a[1:2] LIKE '%' || $1", ("a",)),
    ],
)
def test_names_become_numbers_and_nothing_else_changes(
    sql: str, made: str, names: tuple[str, ...]
) -> None:
    """A colon in a text, a cast or a comment is no bind."""
    assert numbered(sql) == (made, names)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (asyncpg.UniqueViolationError, Conflict),
        (asyncpg.RestrictViolationError, Conflict),
        (asyncpg.SerializationError, Clash),
        (asyncpg.DeadlockDetectedError, Clash),
        (asyncpg.InvalidCachedStatementError, Clash),
        (asyncpg.QueryCanceledError, TooSlow),
        (asyncpg.LockNotAvailableError, TooSlow),
        (TimeoutError, TooSlow),
        (asyncpg.ConnectionDoesNotExistError, ConnectionLost),
        (asyncpg.AdminShutdownError, ConnectionLost),
        (asyncpg.InternalClientError, ConnectionLost),
        (ConnectionResetError, ConnectionLost),
        (asyncpg.DiskFullError, Unavailable),
        (asyncpg.OutOfMemoryError, Unavailable),
        (asyncpg.ReadOnlySQLTransactionError, Unavailable),
        (asyncpg.DataCorruptedError, Corrupt),
        (asyncpg.UndefinedTableError, Refused),
        (asyncpg.CharacterNotInRepertoireError, Refused),
    ],
)
def test_every_error_of_the_server_has_one_meaning(
    error: type[Exception], ours: type[StorageError]
) -> None:
    """What a caller can do about it decides: repeat, wait, or mend."""
    assert type(_ours(error("a secret"), "SELECT 1", write=True)) is ours


@pytest.mark.parametrize(
    "error", [asyncpg.UniqueViolationError, asyncpg.NumericValueOutOfRangeError, OSError]
)
def test_what_an_error_quotes_is_not_passed_on(error: type[Exception]) -> None:
    """PostgreSQL puts the values of a row into its messages."""
    ours = _ours(error("a secret"), "INSERT …", write=True)
    assert "secret" not in f"{ours!s} {ours!r}"


def test_a_change_in_a_read_is_a_mistake_of_ours() -> None:
    """In a write the same error means that the server became a replica."""
    error = asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT")
    assert type(_ours(error, "INSERT …", write=False)) is Refused
