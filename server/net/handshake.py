"""Whether a request for an upgrade is one (RFC 6455, 4.2.1), before anybody is asked about it."""

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

from protocol.codes import ErrorCode
from server.errors import ChatError

# We speak two. Longer than ours by far would be a credential in the wrong place.
SUBPROTOCOLS = 16
SUBPROTOCOL_BYTES = 64

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


class Handshake(Struct, frozen=True):
    """What a client asks for besides the upgrade itself."""

    key: str
    subprotocols: list[str]


def read(method: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> Handshake:
    """Check the handshake's own headers; Host, Origin and credentials are others' business.

    What it is not is a `ChatError`.
    """
    if method != b"GET" or version != "1.1":
        raise _malformed("A WebSocket begins with a GET of HTTP/1.1.")
    if _values(headers, b"content-length") or _values(headers, b"transfer-encoding"):
        raise _malformed("A WebSocket's handshake has no body.")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        raise ChatError(
            ErrorCode.INVALID_FRAME,
            "This server speaks version 13 of the WebSocket protocol.",
            status=HTTPStatus.UPGRADE_REQUIRED,
            headers={"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        )
    return Handshake(_key(headers), _subprotocols(headers))


def _key(headers: Sequence[tuple[bytes, bytes]]) -> str:
    keys = _values(headers, b"sec-websocket-key")
    try:
        (key,) = keys
        if len(b64decode(key, validate=True)) == 16:
            return key.decode()
    except (ValueError, binascii.Error):
        pass
    raise _malformed("Sec-WebSocket-Key must be there once, with 16 bytes in base64.")


def _subprotocols(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    values = _values(headers, b"sec-websocket-protocol")
    names = [name.strip(b" \t") for value in values for name in value.split(b",")]
    if len(names) > SUBPROTOCOLS:
        raise _malformed(f"Sec-WebSocket-Protocol may name {SUBPROTOCOLS} subprotocols.")
    for name in names:
        if len(name) > SUBPROTOCOL_BYTES or not _TOKEN.fullmatch(name):
            raise _malformed(
                "Sec-WebSocket-Protocol names subprotocols, in plain characters, of at most "
                f"{SUBPROTOCOL_BYTES} bytes each. Credentials do not belong there."
            )
    return [name.decode() for name in names]


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _malformed(words: str) -> ChatError:
    return ChatError(ErrorCode.INVALID_FRAME, words)
