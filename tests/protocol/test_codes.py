"""Close codes and error codes: those of the contract, each with what a client may do about it."""

import msgspec
import pytest

from protocol.codes import Advice, CloseCode, ErrorCode, advice, close_for_status
from tests.support.vectors import rows

CLOSE_CODES = {
    *(1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012, 1013),
    *(4001, 4002, 4004, 4005, 4006, 4007, 4008),
    *(4500, 4501, 4503, 4504, 4506, 4507, 4508, 4509),
}
STOP = {1002, 1003, 1007, 1009}

# code: (HTTP status, retryable)
ERROR_CODES = {
    "bad_json": (400, False),
    "invalid_frame": (400, False),
    "invalid_field": (422, False),
    "unknown_type": (400, False),
    "message_too_long": (413, False),
    "payload_too_large": (413, False),
    "unsupported_media": (415, False),
    "method_not_allowed": (405, False),
    "request_timeout": (408, True),
    "token_in_query": (400, False),
    "id_conflict": (409, False),
    "not_found": (404, False),
    "forbidden": (403, False),
    "unauthenticated": (401, False),
    "rate_limited": (429, True),
    "quota_exceeded": (429, False),
    "busy": (409, True),
    "overloaded": (503, True),
    "unavailable": (503, True),
    "provider_busy": (503, True),
    "provider_error": (502, True),
    "provider_timeout": (504, True),
    "content_blocked": (422, False),
    "context_too_long": (422, False),
    "tool_denied": (403, False),
    "tool_timeout": (504, False),
    "approval_expired": (410, False),
    "approval_conflict": (409, False),
    "resync_required": (409, True),
    "internal": (500, False),
}


def test_the_close_codes_are_those_of_the_contract() -> None:
    """A code that clients were not told of would be handled by its range alone."""
    assert {code.value for code in CloseCode} == CLOSE_CODES


def test_the_error_codes_are_those_of_the_contract() -> None:
    """Status and retryability are part of the promise."""
    assert {code.value: (code.status, code.retryable) for code in ErrorCode} == ERROR_CODES


def test_the_range_of_a_close_code_decides() -> None:
    """Also for codes that nobody has named: a client outlives the list."""
    for code in range(6000):
        if code == 4002:
            assert advice(code) is Advice.RENEW
        elif code in STOP or 4500 <= code <= 4999:
            assert advice(code) is Advice.STOP
        else:
            assert advice(code) is Advice.RECONNECT


@pytest.mark.parametrize("row", rows("closes"), ids=lambda row: str(row["code"]))
def test_the_shared_table_gives_the_same_advice(row: dict[str, object]) -> None:
    """The table that every implementation is tested with."""
    assert advice(int(str(row["code"]))).value == row["advice"]


@pytest.mark.parametrize("code", CloseCode)
def test_a_close_reason_fits_its_frame(code: CloseCode) -> None:
    """A control frame has 125 bytes, two of them for the code."""
    assert code.reason.isascii()
    assert 0 < len(code.reason) <= 123


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_code_means_something(code: ErrorCode) -> None:
    """A sentence, for the documents that are generated from it."""
    assert code.traits.meaning.endswith(".")
    assert str(code) == code.value
    assert msgspec.convert(code.value, ErrorCode) is code


@pytest.mark.parametrize(
    ("status", "close", "what"),
    [
        (400, CloseCode.BAD_REQUEST, Advice.STOP),
        (401, CloseCode.UNAUTHENTICATED, Advice.STOP),
        (403, CloseCode.FORBIDDEN, Advice.STOP),
        (404, CloseCode.BAD_REQUEST, Advice.STOP),
        (408, CloseCode.ABNORMAL, Advice.RECONNECT),
        (426, CloseCode.UNSUPPORTED_VERSION, Advice.STOP),
        (429, CloseCode.OVERLOADED, Advice.RECONNECT),
        (431, CloseCode.BAD_REQUEST, Advice.STOP),
        (502, CloseCode.ABNORMAL, Advice.RECONNECT),
        (503, CloseCode.OVERLOADED, Advice.RECONNECT),
    ],
)
def test_a_refused_upgrade_is_read_as_a_close(status: int, close: CloseCode, what: Advice) -> None:
    """What would be refused again stops the client; what may pass later does not."""
    assert close_for_status(status) is close
    assert advice(close) is what
