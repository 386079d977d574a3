"""The last words on a connection, said so that the peer can read them."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import TypeAlias

from server.errors import ChatError, over_http
from server.telemetry.lines import refused
from server.telemetry.trace import new_trace

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


def answer(status: int, headers: Headers, body: bytes) -> bytes:
    """A whole HTTP response, after which the connection ends.

    How it is framed is said here alone: a response with two lengths is one that nobody reads.
    """
    lines = [f"HTTP/1.1 {status} {_phrase(status)}".encode()]
    lines += [b"%b: %b" % header for header in headers if header[0].lower() not in _FRAMING]
    lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
    return b"\r\n".join(lines)


def refusal(error: ChatError, peer: str) -> bytes:
    """An HTTP response that says what is wrong with the request, and repeats nothing of it.

    It is written down by the trace that it names: whoever is kept out here is seen nowhere else.
    """
    trace = new_trace()
    said = over_http(error, trace)
    refused(error, peer, trace)
    headers = [(name.lower().encode(), value.encode()) for name, value in said.headers.items()]
    return answer(said.status, headers, said.body)


def half_close(transport: asyncio.Transport) -> None:
    """Say that nothing more comes, and go on reading until the peer says the same.

    To close a socket with unread input resets it, and the peer may never see what was said last.
    """
    if not transport.is_closing():
        transport.write_eof()
        transport.resume_reading()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
