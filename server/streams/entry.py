"""An entry of a log as sockets send it."""

from collections.abc import Iterable
from itertools import groupby

import msgspec
from msgspec import Struct, structs

from protocol.codec import JSON, Codec, Unknown
from protocol.folding import FOLDED_TEXT_BYTES, Piece
from protocol.frames.from_server import Chunk, Logged, Text
from protocol.text import utf16_length
from server.net.framing import framed
from storage.log import ROWS, Entry

_CHUNK = b'{"type":"chunk",'


class _Chunk(Struct, tag="chunk"):
    """A chunk as logs keep it, read without a look at what was checked when it was made."""

    answer: str
    offset: int
    text: str
    since: int = msgspec.field(default=0, name="from")


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_chunks = msgspec.json.Decoder(list[_Chunk]).decode


class Shared:
    """One entry for all its readers: made into bytes once per encoding, and only if one asks."""

    __slots__ = ("_body", "_bytes", "_first", "_frame", "_piece", "seq")

    def __init__(self, entry: Entry) -> None:
        self.seq = entry.seq
        self._body = entry.body
        self._first = entry.ordinal == 1 and entry.source != ROWS
        self._frame: Logged | Unknown | None = None
        self._piece: Piece | None = None
        self._bytes: dict[str, bytes] = {}

    def __repr__(self) -> str:
        """Name the place; the body is what people wrote."""
        return f"<Shared {self.seq}>"

    @property
    def repeats(self) -> bool:
        """Whether it tells text that an epoch before this one had.

        An answer begins with a word of what it does; only where it goes on it begins with text.
        """
        return self._first and isinstance(self.frame(), Chunk)

    def framed(self, codec: Codec) -> bytes:
        """The complete WebSocket frame."""
        ready = self._bytes.get(codec.subprotocol)
        if ready is None:
            payload = self._payload(codec)
            ready = self._bytes[codec.subprotocol] = framed(payload, binary=codec.binary)
        return ready

    def _payload(self, codec: Codec) -> bytes:
        # Logs keep JSON, which most sockets speak: theirs needs no decoding.
        if codec is JSON:
            return codec.stamp(self._body, self.seq)
        if isinstance(frame := self.frame(), Chunk):
            return codec.encode(frame)
        # Whole, with what a newer version says and this one cannot read: clients may know it.
        return codec.stamp(msgspec.msgpack.encode(msgspec.json.decode(self._body)), self.seq)

    def foldable(self) -> "Text | Shared":
        """A text that may be one with others; whatever else it is goes on as it was kept."""
        frame = self.frame()
        return frame if isinstance(frame, Text) else self

    def piece(self) -> Piece | None:
        """The text that may be one with others; None: it is something else."""
        if self._piece is None and isinstance(frame := self.frame(), Text):
            self._piece = Piece(frame)
        return self._piece

    def frame(self) -> Logged | Unknown:
        """The frame itself, for those who must look into it."""
        if self._frame is None:
            self._frame = decode(self._body, self.seq)
        return self._frame


def encode(frame: Logged) -> bytes:
    """A frame as logs keep it."""
    return JSON.encode(frame)


def decode(body: bytes, seq: int) -> Logged | Unknown:
    """A frame as it was kept, in its place; `Unknown` is what a newer version has told."""
    if body.startswith(_CHUNK):  # nearly all of a log, and a device that comes back gets them all
        chunk = _decode_chunk(body)
        return Chunk(
            seq=seq,
            answer=chunk.answer,
            offset=chunk.offset,
            text=chunk.text,
            since=chunk.since,
        )
    frame = JSON.decode_server(body)
    if not isinstance(frame, Logged) and not (isinstance(frame, Unknown) and frame.type):
        raise TypeError("a log holds nothing but frames of its own")
    return structs.replace(frame, seq=seq)


def folded(entries: Iterable[Entry]) -> list[Entry]:
    """The same with chunks that follow each other as one: who comes back missed thousands.

    They are read together, which costs three fifths of what it does to look at each.
    """
    result: list[Entry] = []
    for (chunks, _), alike in groupby(entries, _kind):
        run = list(alike)
        one = _as_one(run) if chunks and len(run) > 1 else None
        result += run if one is None else [one]
    return result


def _kind(entry: Entry) -> tuple[bool, str]:
    return entry.body.startswith(_CHUNK), entry.source


def _as_one(run: list[Entry]) -> Entry | None:
    """One for all of them; None: there is a hole, or something odd, or they may fill a frame."""
    bodies = [entry.body for entry in run]
    if sum(map(len, bodies)) > FOLDED_TEXT_BYTES:
        return None
    try:
        chunks = _decode_chunks(b"[" + b",".join(bodies) + b"]")
    except msgspec.DecodeError:
        return None
    if len(chunks) != len(run):
        return None
    first, begin = run[0], chunks[0].offset
    seq, ordinal, offset = first.seq, first.ordinal, begin
    for entry, chunk in zip(run, chunks, strict=True):
        if entry.seq != seq or entry.ordinal != ordinal or chunk.offset != offset:
            return None
        seq, ordinal, offset = seq + 1, ordinal + 1, offset + utf16_length(chunk.text)
    text = "".join([chunk.text for chunk in chunks])
    body = encode(Chunk(answer=chunks[0].answer, offset=begin, text=text, since=first.seq))
    return Entry(run[-1].seq, first.source, first.ordinal, body)
