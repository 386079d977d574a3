"""What a client may be told of a failure."""

import pytest

from protocol.codes import ErrorCode
from server.errors import ChatError, from_storage, internal
from storage import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("message", "m_1"), ErrorCode.NOT_FOUND),
        (errors.IdConflict("id"), ErrorCode.ID_CONFLICT),
        (errors.ApprovalExpired("k"), ErrorCode.APPROVAL_EXPIRED),
        (errors.DecidedOtherwise("k"), ErrorCode.APPROVAL_CONFLICT),
        (errors.NotEditable("m_1"), ErrorCode.INVALID_FIELD),
        (errors.Busy("it"), ErrorCode.BUSY),
        (errors.Overloaded("queue", 250), ErrorCode.OVERLOADED),
        (errors.Unavailable("away"), ErrorCode.UNAVAILABLE),
        (errors.Conflict("unique"), ErrorCode.INTERNAL),
        (errors.Corrupt("row"), ErrorCode.INTERNAL),
        (errors.Fenced("a", 1), ErrorCode.INTERNAL),
    ],
    ids=str,
)
def test_each_failure_of_the_store_has_its_code(
    error: errors.StorageError, code: ErrorCode
) -> None:
    """And never the store's own words, which may name what is nobody's business."""
    told = from_storage(error)
    assert told.code is code
    assert str(error) not in told.message
    assert told.message


def test_when_to_come_back_travels_with_the_refusal() -> None:
    """So that clients wait as long as the store asked for."""
    refusal = from_storage(errors.Overloaded("queue", 250)).refusal("m-1")
    assert (refusal.ref, refusal.retry_after_ms) == ("m-1", 250)


def test_an_error_says_its_code_and_its_words() -> None:
    """For logs."""
    assert str(ChatError(ErrorCode.BUSY, "Wait.")) == "busy: Wait."
    assert internal().code is ErrorCode.INTERNAL
