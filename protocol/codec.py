"""Bytes to frames and back, in JSON and MessagePack; whatever arrives, the answer is a value.

A client's bytes become a frame, a `Refusal` (an `error` frame answers it) or a `Fatal` (the socket
closes). Nothing else leaves `decode_client`, for any input.
"""

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from protocol.codes import CloseCode, ErrorCode
from protocol.frames.from_client import AnyClientFrame
from protocol.frames.from_server import AnyServerFrame, ServerFrame
from protocol.limits import SERVER_FRAME_BYTES
from protocol.text import mend
from protocol.types import ID_PATTERN

MESSAGE_CHARACTERS = 240  # of an error's text: msgspec quotes what the client sent

# Deep nesting and broken UTF-8 raise outside msgspec's own tree.
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

_EXPECTED = re.compile(
    r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<got>\w+)`)?(?: - at .*)?$", re.S
)

# msgspec takes ten microseconds for a number of extreme size, so a frame full of them would hold
# the event loop for a tenth of a second. Numbers in a text are none; an open string ends anywhere,
# so that no run of quotes is scanned twice.
MOST_EXTREME_NUMBERS = 500
_EXTREME = re.compile(rb"\d[eE][+-]?0*[1-9]\d\d")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.S)
_ID = re.compile(ID_PATTERN)


class Refusal(Struct, frozen=True):
    """A frame that cannot be taken: what an `error` frame says about it."""

    code: ErrorCode
    message: str
    ref: str | None = None
    retry_after_ms: int | None = None


class Fatal(Struct, frozen=True):
    """Bytes after which the socket cannot go on."""

    close: CloseCode


class Unknown(Struct, frozen=True):
    """A server's frame that this client cannot read; its place in the log still counts."""

    type: str | None = None
    conversation: str | None = None
    seq: int = 0


FromClient: TypeAlias = AnyClientFrame | Refusal | Fatal
FromServer: TypeAlias = AnyServerFrame | Unknown


class _Head(Struct):
    """What names a frame, each part unread, so that one bad part does not hide the others."""

    type: Raw = Raw()
    id: Raw = Raw()
    conversation: Raw = Raw()
    answer: Raw = Raw()
    seq: Raw = Raw()


class _Named(Struct):
    """An object in the place of an id: a `conversation` frame carries the conversation itself."""

    id: str


class Codec:
    """One encoding of the wire; JSON travels in text frames, MessagePack in binary ones."""

    def __init__(
        self,
        subprotocol: str,
        *,
        binary: bool,
        decoder: Callable[[Any], Any],
        encode: Callable[[Any], bytes],
        stamp: Callable[[bytes, int], bytes],
    ) -> None:
        self.subprotocol = subprotocol
        self.binary = binary
        self._encode = encode
        self._stamp = stamp
        self._client_frame = decoder(AnyClientFrame).decode
        self._server_frame = decoder(AnyServerFrame).decode
        self._head = decoder(_Head).decode
        self._string = decoder(str).decode
        self._whole = decoder(int).decode
        self._named = decoder(_Named).decode

    def __repr__(self) -> str:
        """Name the encoding."""
        return f"<Codec {self.subprotocol}>"

    def encode(self, frame: ServerFrame | AnyClientFrame) -> bytes:
        """The frame's bytes; of a logged frame that has no `seq` yet, the body that is stored."""
        return self._encode(frame)

    def stamp(self, body: bytes, seq: int) -> bytes:
        """Put `seq` into a logged frame's stored body, without decoding it."""
        return self._stamp(body, seq)

    def decode_client(self, data: bytes | str, cap: int) -> FromClient:
        """Read a client's frame of at most `cap` bytes; a text frame comes as `str`."""
        if isinstance(data, str) == self.binary:
            return Fatal(CloseCode.UNSUPPORTED_DATA)
        if len(data) > cap:
            return Fatal(CloseCode.TOO_BIG)
        try:
            raw = data.encode() if isinstance(data, str) else data
        except UnicodeEncodeError:
            return Fatal(CloseCode.INVALID_TEXT)
        if len(raw) > cap:
            return Fatal(CloseCode.TOO_BIG)
        if not self.binary and is_laborious(raw):
            return self._refuse(raw, msgspec.ValidationError("Too many numbers of extreme size"))
        try:
            frame: AnyClientFrame = self._client_frame(raw)
        except _UNREADABLE as error:
            return self._refuse(raw, error)
        # In JSON only an escape can hide U+0000, and unpaired surrogates and NaN cannot occur.
        if self.binary or rb"\u0000" in raw:
            where = unfit(frame)
            if where:
                text = f"A text holds U+0000 or a number is not finite - in `{where}`"
                return Refusal(ErrorCode.INVALID_FIELD, _cut(text), self._ref(raw))
        return frame

    def decode_server(self, data: bytes | str) -> FromServer:
        """Read a server's frame; what this version cannot read is `Unknown`, never an error."""
        if (self.binary and isinstance(data, str)) or len(data) > SERVER_FRAME_BYTES:
            return Unknown()
        try:
            frame: AnyServerFrame = self._server_frame(data)
        except (*_UNREADABLE, UnicodeEncodeError):
            pass
        else:
            return frame
        try:
            head: _Head = self._head(data)
        except (*_UNREADABLE, UnicodeEncodeError):
            return Unknown()
        seq = _read(self._whole, head.seq)
        whole: _Named | None = _read(self._named, head.conversation)
        return Unknown(
            _read(self._string, head.type),
            whole.id if whole else _read(self._string, head.conversation),
            seq if seq is not None and seq > 0 else 0,
        )

    def _refuse(self, raw: bytes, error: Exception) -> Refusal:
        try:
            self._head(raw)
        except _UNREADABLE:
            # The typed decoder stops at the first fault; this pass reads to the end, so a frame
            # that is no document at all is called that, wherever its first wrong field stood.
            return Refusal(ErrorCode.BAD_JSON, "The frame is not one readable object.")
        if isinstance(error, msgspec.ValidationError):
            return refused(error, self._ref(raw))
        return Refusal(
            ErrorCode.BAD_JSON, "The frame holds text that is not Unicode.", self._ref(raw)
        )

    def _ref(self, raw: bytes) -> str | None:
        """What the frame calls itself: its `id`, else the conversation or answer it names."""
        head: _Head = self._head(raw)
        if _read(self._string, head.type) == "auth":
            return "auth"
        for part in (head.id, head.conversation, head.answer):
            name: str | None = _read(self._string, part)
            if name is not None and _ID.search(name):
                return name
        return None


def refused(error: msgspec.ValidationError, ref: str | None = None) -> Refusal:
    """What is said of a value that msgspec would not take, in a frame or in a body."""
    return Refusal(_classify(str(error)), _cut(str(error)), ref)


def _read(decode: Callable[[Raw], Any], part: Raw) -> Any:
    """A part of a head, or None where it is missing or of another kind."""
    try:
        return decode(part)
    except _UNREADABLE:
        return None


def _classify(problem: str) -> ErrorCode:
    """Tell a wrong shape from a wrong value; msgspec says it in words only, which tests pin."""
    if problem.startswith("Invalid value "):  # only of a tag; a list's values say "enum value"
        return ErrorCode.UNKNOWN_TYPE
    if problem.startswith("Object "):
        return ErrorCode.INVALID_FRAME
    match = _EXPECTED.match(problem)
    if match is None:
        return ErrorCode.INVALID_FIELD
    # JSON has one kind of number, so a fraction where a whole one belongs is a wrong value.
    if match["got"] == "float" and "int" in match["expected"].split(" | "):
        return ErrorCode.INVALID_FIELD
    return ErrorCode.INVALID_FRAME


def _cut(text: str) -> str:
    """The error's text within its bound, and fit to travel: it may quote what was refused."""
    text = mend(text)
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 1] + "…"


def is_laborious(raw: bytes) -> bool:
    """Whether JSON has so many numbers of extreme size that reading it holds up all others."""
    if (
        len(raw) < 4 * MOST_EXTREME_NUMBERS
        or raw.count(b"e") + raw.count(b"E") < MOST_EXTREME_NUMBERS
    ):
        return False
    bare = _STRING.sub(b"", raw)
    return len(_EXTREME.findall(bare)) > MOST_EXTREME_NUMBERS


def unfit(frame: Struct) -> str | None:
    """The field with what may not travel: U+0000 in a text, or a number that is not finite."""
    return next((name for name in frame.__struct_fields__ if not _fits(getattr(frame, name))), None)


def _fits(value: Any) -> bool:
    # A stack, not recursion: a frame may hold 65 000 parts, and this runs for every binary frame.
    parts = [value]
    while parts:
        part = parts.pop()
        kind = type(part)
        if kind is int or not part:  # most parts of a frame made to be slow are empty
            continue
        if kind is str:
            if "\0" in part:
                return False
        elif kind is list:
            parts += part
        elif kind is dict:
            parts += part
            parts += part.values()
        elif kind is float:
            if not math.isfinite(part):
                return False
        elif isinstance(part, Struct):
            parts += [getattr(part, name) for name in part.__struct_fields__]
    return True


def _stamp_json(body: bytes, seq: int) -> bytes:
    return b'{"seq":%d,' % seq + body[1:]


_FIXMAP, _FIXMAP_MOST, _MAP16 = 0x80, 15, 0xDE


def _stamp_msgpack(body: bytes, seq: int) -> bytes:
    """Count one more pair in the map's head and put `seq` first."""
    if body[0] == _MAP16:
        size, rest = int.from_bytes(body[1:3]), body[3:]
    else:
        size, rest = body[0] - _FIXMAP, body[1:]
    size += 1
    head = bytes([_FIXMAP + size]) if size <= _FIXMAP_MOST else bytes([_MAP16]) + size.to_bytes(2)
    return head + b"\xa3seq" + msgspec.msgpack.encode(seq) + rest


JSON = Codec(
    "parley.v1.json",
    binary=False,
    decoder=msgspec.json.Decoder,
    encode=msgspec.json.Encoder().encode,
    stamp=_stamp_json,
)
MSGPACK = Codec(
    "parley.v1.msgpack",
    binary=True,
    decoder=msgspec.msgpack.Decoder,
    encode=msgspec.msgpack.Encoder().encode,
    stamp=_stamp_msgpack,
)
CODECS: dict[str, Codec] = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}


def negotiate(offered: list[str]) -> Codec | None:
    """The codec for the subprotocols a client offers, in its order; none offered means JSON.

    None means that only unknown ones were offered: accept, then close with 4506, because a browser
    shows a page nothing of a refused upgrade.
    """
    if not offered:
        return JSON
    return next((CODECS[name] for name in offered if name in CODECS), None)
