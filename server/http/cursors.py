"""Where a page of a list ended, as an opaque text that its reader hands back for the next one.

It belongs to one question: with other filters or another order it would lead to a wrong place. So
it carries a digest of both. That is no signature, and needs none: who makes one up reads no rows
but their own.
"""

import base64
import binascii
from hashlib import blake2b
from typing import TypeVar

import msgspec
from msgspec import Struct

from protocol.codec import unfit
from protocol.codes import ErrorCode
from server.errors import ChatError

T = TypeVar("T", bound=Struct)

DIGEST_BYTES = 8
CURSOR_CHARACTERS = 8192  # of a title of 512 characters, and then some


def spell(place: Struct, question: object) -> str:
    """A place in the answer to that question."""
    body = msgspec.json.encode(place)
    return _text(_digest(body, question) + body)


def read(cursor: str, type: type[T], question: object) -> T:
    """The same place; `ChatError` for any text that `spell` did not write for that question."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        digest, body = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        if digest == _digest(body, question) and cursor == _text(raw):
            place = msgspec.json.decode(body, type=type)
            if unfit(place) is None:  # a database is asked for what is in it
                return place
    except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors, too
        pass
    words = "`cursor` is none that this list gave out, with these filters and this order."
    raise ChatError(ErrorCode.INVALID_FIELD, words)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _digest(body: bytes, question: object) -> bytes:
    asked = blake2b(msgspec.json.encode(question), digest_size=DIGEST_BYTES).digest()
    return blake2b(asked + body, digest_size=DIGEST_BYTES).digest()
