"""The canonical lines of a connection and of an answer."""

import pytest

from protocol.codes import ErrorCode
from protocol.types import FinishReason, Outcome
from server.errors import ChatError
from server.telemetry.lines import (
    AnswerEnded,
    ConnectionClosed,
    answer_ended,
    connection_closed,
    fault,
    refused,
)
from storage.errors import Unavailable
from tests.support.logs import logging_to_memory

CANARY = "my dog is called Wotan"


def test_a_connection_leaves_one_line() -> None:
    """Its sizes and its end, the network of its peer, its client's name as far as it is one."""
    with logging_to_memory() as log:
        connection_closed(
            ConnectionClosed(
                session="s_1",
                trace="t1",
                peer="203.0.113.77",
                codec="parley.v1.json",
                tenant="acme",
                user="ada@example.org",
                client=("parley-js", "1.2.0-rc.1"),
                code=1000,
                duration_s=1.23456,
                frames_in=3,
                bytes_out=7,
            )
        )
        [line] = log.lines()
    assert line.pop("timestamp")
    assert line.pop("user").startswith("user#")
    assert line.pop("client") == "parley-js/1.2.0-rc.1"
    assert line == {
        "event": "connection closed",
        "level": "info",
        "session": "s_1",
        "trace": "t1",
        "peer": "203.0.113.0/24",
        "codec": "parley.v1.json",
        "tenant": "acme",
        "code": 1000,
        "duration_s": 1.235,
        "frames_in": 3,
        "frames_out": 0,
        "bytes_in": 0,
        "bytes_out": 7,
    }


def test_a_connection_that_never_said_hello_has_a_line_too() -> None:
    """What is not known is left out."""
    with logging_to_memory() as log:
        connection_closed(
            ConnectionClosed(session="s_1", trace="t1", peer="", code=4001, duration_s=5)
        )
        [line] = log.lines()
    assert not {"user", "tenant", "client", "codec"} & line.keys()


@pytest.mark.parametrize("text", [CANARY, "x" * 33, "a\nb", "ada@example.org"])
def test_a_client_that_is_named_by_a_text_is_told_by_its_size(text: str) -> None:
    """A client may put anything there."""
    with logging_to_memory() as log:
        connection_closed(
            ConnectionClosed(
                session="s_1", trace="t1", peer="", code=1000, duration_s=5, client=(text, None)
            )
        )
        [line] = log.lines()
    assert line["client"] == f"<{len(text)}>"


def test_an_answer_leaves_one_line() -> None:
    """How it ended, what it cost and how long each part took."""
    with logging_to_memory() as log:
        answer_ended(
            AnswerEnded(
                answer="msg_2",
                conversation="con_1",
                tenant="acme",
                model="scripted",
                provider="scripted",
                outcome=Outcome.FAILED,
                finish_reason=FinishReason.TIMEOUT,
                code=ErrorCode.PROVIDER_TIMEOUT,
                prompt_tokens=4,
                first_token_ms=12,
                trace="t1",
            )
        )
        [line] = log.lines()
    assert line.pop("timestamp")
    assert line == {
        "event": "answer ended",
        "level": "info",
        "answer": "msg_2",
        "conversation": "con_1",
        "tenant": "acme",
        "model": "scripted",
        "provider": "scripted",
        "outcome": "failed",
        "finish_reason": "timeout",
        "code": "provider_timeout",
        "attempt": 1,
        "length": 0,
        "prompt_tokens": 4,
        "completion_tokens": 0,
        "cost_usd": 0.0,
        "first_token_ms": 12,
        "chunks": 0,
        "trace": "t1",
    }


def test_who_is_kept_out_leaves_one_line() -> None:
    """What was answered, why, and where it came from."""
    with logging_to_memory() as log:
        refused(ChatError(ErrorCode.FORBIDDEN, "Not from here."), "2001:db8:1:2:3::4", "t1")
        [line] = log.lines()
    assert line.pop("timestamp")
    assert line == {
        "event": "a request was refused",
        "level": "info",
        "status": 403,
        "code": "forbidden",
        "reason": "Not from here.",
        "peer": "2001:db8:1::/48",
        "trace": "t1",
    }


def test_a_store_that_is_away_is_no_fault_of_ours() -> None:
    """It is said what is away, and no stack beside it."""
    with logging_to_memory() as log:
        fault("accounts", Unavailable("PostgreSQL is away"))
        [line] = log.lines()
    assert (line["level"], line["event"], line["at"]) == ("warning", "the store failed", "accounts")
    assert "PostgreSQL is away" in line["why"]
    assert "exception" not in line


def test_a_fault_is_told_by_name_and_place() -> None:
    """Without what the exception says."""
    with logging_to_memory() as log:
        fault("s_1", ValueError(CANARY))
        [line] = log.lines()
    assert (line["level"], line["event"], line["name"]) == ("error", "a fault", "s_1")
    assert line["exception"] == "ValueError"
