"""Errors are data first, and their sentences help whoever meets them."""

import pytest

from storage import errors

EXAMPLES = [
    (errors.NotFound("conversation", "c1"), "no conversation 'c1'"),
    (errors.Conflict("unique", "users_login"), "the schema's rule unique (users_login)"),
    (errors.Conflict("foreign_key"), "(unnamed)"),
    (errors.IdConflict("m1"), "the id 'm1' was used for another content"),
    (errors.ApprovalExpired("t1"), "the time to decide tool call 't1' has passed"),
    (errors.DecidedOtherwise("t1"), "tool call 't1' was decided otherwise"),
    (errors.NotEditable("m1"), "message 'm1' is an answer"),
    (errors.TooMany("children", "m1", 1000), "'m1' has 1000 children"),
    (errors.Busy("the file", "process 7", "Stop it."), "held by process 7. Stop it."),
    (errors.Busy("the file"), "held by another"),
    (errors.Fenced("answer a1", 3), "fence 3 of answer a1"),
    (errors.Overloaded("too many", 250), "try again in 250 ms"),
    (errors.TooSlow(), "a statement took too long"),
    (errors.TooMuch("the conversations"), "the conversations are too much"),
    (errors.Unavailable("gone"), "the store is unavailable (gone)"),
    (errors.Unavailable("gone", outcome_unknown=True), "look before repeating"),
    (errors.Corrupt("the file"), "restore it from a backup"),
    (errors.Unsupported("a lock", "there is a pooler"), "a lock is not possible here"),
    (errors.MigrationError("it is newer", "Update."), "it is newer. Update."),
]


@pytest.mark.parametrize(("error", "part"), EXAMPLES, ids=lambda example: type(example).__name__)
def test_every_error_makes_its_sentence_of_its_attributes(
    error: errors.StorageError, part: str
) -> None:
    """What happened, why, and where it helps what to do."""
    assert part in str(error)


def test_every_error_of_the_tree_has_an_example_here() -> None:
    """A new one comes with its sentence."""
    tree = {value for value in vars(errors).values() if isinstance(value, type)}
    assert tree - {errors.StorageError} == {type(error) for error, _ in EXAMPLES}


def test_a_taken_id_is_a_conflict() -> None:
    """Who handles conflicts handles this one."""
    assert isinstance(errors.IdConflict("m1"), errors.Conflict)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """It is the first thing a reader sees."""
    tree = [name for name in vars(errors) if isinstance(vars(errors)[name], type)]
    document = errors.__doc__ or ""
    assert [name for name in tree if name not in document] == []
