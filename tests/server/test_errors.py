"""What a client may be told of a failure."""

import pytest

from protocol.codes import ErrorCode
from server.errors import ChatError, RateLimited, from_storage, internal, over_http
from storage import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("message", "m_1"), ErrorCode.NOT_FOUND),
        (errors.IdConflict("id"), ErrorCode.ID_CONFLICT),
        (errors.ApprovalExpired("k"), ErrorCode.APPROVAL_EXPIRED),
        (errors.DecidedOtherwise("k"), ErrorCode.APPROVAL_CONFLICT),
        (errors.NotEditable("m_1"), ErrorCode.INVALID_FIELD),
        (errors.TooMany("children", "m_1", 1000), ErrorCode.QUOTA_EXCEEDED),
        (errors.Busy("it"), ErrorCode.BUSY),
        (errors.Overloaded("queue", 250), ErrorCode.OVERLOADED),
        (errors.TooSlow(), ErrorCode.OVERLOADED),
        (errors.TooMuch("the conversations"), ErrorCode.INVALID_FIELD),
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


def test_over_http_an_error_may_have_a_status_that_says_more() -> None:
    """With what belongs to it, beside what every error has."""
    error = ChatError(ErrorCode.INVALID_FRAME, "Ask.", status=426, headers={"Upgrade": "websocket"})
    answer = over_http(error, "t1")
    assert answer.status == 426
    assert answer.headers == {
        "Content-Type": "application/json",
        "X-Request-ID": "t1",
        "Upgrade": "websocket",
    }
    assert answer.body == (
        b'{"error":{"code":"invalid_frame","message":"Ask.","retryable":false,"trace":"t1"}}'
    )


def test_a_limit_tells_its_state() -> None:
    """In seconds, rounded up."""
    answer = over_http(RateLimited("Wait.", 1001, 60), "t1")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"] == "2"
    assert answer.headers["X-RateLimit-Limit"] == "60"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
