"""The bytes of a server's WebSocket frames (RFC 6455, 5.2): whole and unmasked."""

from struct import Struct

_SHORT = Struct("!BB").pack
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack

_FIN = 0x80
_TEXT = _FIN | 0x1
_BINARY = _FIN | 0x2
_PING = _FIN | 0x9


def framed(payload: bytes, *, binary: bool) -> bytes:
    """A message as one frame: its head and its payload."""
    opcode = _BINARY if binary else _TEXT
    length = len(payload)
    if length < 126:
        return _SHORT(opcode, length) + payload
    if length < 65536:
        return _MEDIUM(opcode, 126, length) + payload
    return _LONG(opcode, 127, length) + payload


def pinged(payload: bytes) -> bytes:
    """A ping, whose payload has at most 125 bytes; the peer's pong repeats it."""
    return _SHORT(_PING, len(payload)) + payload
