"""Whatever a request fails with has one answer."""

import pytest
from starlette.exceptions import HTTPException

from protocol.codes import CloseCode, ErrorCode
from server.auth.tokens import TokenRefused
from server.errors import ChatError, RateLimited
from server.http.errors import answer, translated
from storage.errors import Corrupt, IdConflict, NotFound, Overloaded, Unavailable

CANARY = "my dog is called Wotan"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ChatError(ErrorCode.BUSY, "Busy."), ErrorCode.BUSY),
        (NotFound("answer", CANARY), ErrorCode.NOT_FOUND),
        (IdConflict(CANARY), ErrorCode.ID_CONFLICT),
        (Overloaded(CANARY), ErrorCode.OVERLOADED),
        (Unavailable(CANARY), ErrorCode.UNAVAILABLE),
        (Corrupt(CANARY), ErrorCode.INTERNAL),
        (TokenRefused(CloseCode.UNAUTHENTICATED, CANARY), ErrorCode.UNAUTHENTICATED),
        (TokenRefused(CloseCode.TOKEN_EXPIRED, CANARY), ErrorCode.UNAUTHENTICATED),
        (TokenRefused(CloseCode.REVOKED, CANARY), ErrorCode.UNAUTHENTICATED),
        (TokenRefused(CloseCode.FORBIDDEN, CANARY), ErrorCode.FORBIDDEN),
        (HTTPException(404, CANARY), ErrorCode.NOT_FOUND),
        (HTTPException(405, CANARY), ErrorCode.METHOD_NOT_ALLOWED),
        (HTTPException(418, CANARY), ErrorCode.INTERNAL),
        (ValueError(CANARY), ErrorCode.INTERNAL),
    ],
)
def test_a_failure_becomes_a_code_and_words_of_ours(error: Exception, code: ErrorCode) -> None:
    """Never words of a library, of the store, or about the token."""
    said = translated(error)
    assert said.code is code
    assert CANARY not in said.message


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_answer(code: ErrorCode) -> None:
    """With the status and the advice that are defined once."""
    response = answer(ChatError(code, "Words."), "t1")
    assert response.status_code == code.status
    assert response.headers["content-type"] == "application/json"
    assert b'"trace":"t1"' in response.body
    assert (b'"retryable":true' in response.body) is code.retryable
    assert ("retry-after" in response.headers) is (code.status == 503)
    assert ("www-authenticate" in response.headers) is (code.status == 401)


def test_what_is_not_known_is_left_out() -> None:
    """No field is null."""
    body = answer(ChatError(ErrorCode.NOT_FOUND, "No."), "t1").body
    expected = b'{"error":{"code":"not_found","message":"No.","retryable":false,"trace":"t1"}}'
    assert body == expected


@pytest.mark.parametrize(("wait_ms", "seconds"), [(1, "1"), (1000, "1"), (1001, "2"), (0, "0")])
def test_seconds_are_rounded_up(wait_ms: int, seconds: str) -> None:
    """Who waits that long has waited enough."""
    error = RateLimited("Wait.", wait_ms, 60)
    response = answer(error, "t1")
    assert response.headers["retry-after"] == seconds
    assert response.headers["x-ratelimit-reset"] == seconds
    assert response.headers["x-ratelimit-limit"] == "60"
    assert response.headers["x-ratelimit-remaining"] == "0"
