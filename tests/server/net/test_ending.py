"""How a connection ends."""

import msgspec

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.net.ending import answer, refusal
from tests.support.logs import logging_to_memory


def test_an_answer_is_a_whole_response() -> None:
    """With its length and the word that nothing follows."""
    assert answer(429, [(b"retry-after", b"1")], b"{}") == (
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\n{}"
    )


def test_an_application_does_not_frame_its_answer() -> None:
    """A second length, and no client reads the status any more."""
    said = [(b"Content-Length", b"2"), (b"connection", b"keep-alive"), (b"x-request-id", b"s")]
    assert answer(400, said, b"{}") == (
        b"HTTP/1.1 400 Bad Request\r\nx-request-id: s\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\n{}"
    )


def test_a_status_without_a_name_is_sent_all_the_same() -> None:
    """An application may use any."""
    assert answer(499, (), b"").startswith(b"HTTP/1.1 499 \r\n")


def test_a_refusal_has_the_shape_of_every_error() -> None:
    """With a trace of its own, by which the log says who was kept out and why."""
    error = ChatError(ErrorCode.UNAVAILABLE, "Because.")
    with logging_to_memory() as log:
        head, _, body = refusal(error, "203.0.113.7").partition(b"\r\n\r\n")
        [line] = log.lines()
    assert msgspec.json.decode(body)["error"] == {
        "code": "unavailable",
        "message": "Because.",
        "retryable": True,
        "retry_after_ms": 1000,
        "trace": line["trace"],
    }
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert {
        "content-type: application/json",
        f"x-request-id: {line['trace']}",
        "retry-after: 1",
        "connection: close",
    } <= set(headers)
    assert (line["event"], line["status"], line["code"], line["reason"], line["peer"]) == (
        *("a request was refused", 503, "unavailable", "Because.", "203.0.113.0/24"),
    )
