"""Several chunks of one answer as one: text concatenates, so nothing is lost and frames are saved.

A reader that fell behind, or comes back, gets one bigger chunk instead of many small ones.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from protocol.frames.from_server import ServerFrame, Text
from protocol.limits import SERVER_FRAME_BYTES
from protocol.text import utf16_length

Other = TypeVar("Other")

# What a chunk's other fields take at the most, in either encoding.
_ENVELOPE_BYTES = 512
FOLDED_TEXT_BYTES = SERVER_FRAME_BYTES - _ENVELOPE_BYTES
# A token by itself takes ten times its length in memory, so this many are made one string; a text
# of so many bytes is left as it is, for others who fold it may keep it too.
_SHORT_TEXTS = 32
_LONG_TEXT = 256


class Piece:
    """A chunk, with what must be known of it to join it to others; read by whoever folds it."""

    __slots__ = ("end", "frame", "size")

    def __init__(self, frame: Text) -> None:
        self.frame = frame
        self.end = frame.offset + utf16_length(frame.text)
        # Bytes of the encoded text: an escaped control character takes six in JSON.
        self.size = len(msgspec.json.encode(frame.text)) - len('""')


class Fold:
    """Adjacent chunks as one, which takes in more of them up to `most` bytes of text."""

    __slots__ = ("_first", "_last", "_most", "_short", "_size", "_texts")

    def __init__(self, first: Piece, most: int = FOLDED_TEXT_BYTES) -> None:
        self._first = self._last = first
        self._most = most
        self._size = first.size
        self._texts = [first.frame.text]
        self._short = 0  # from where on they are short and not joined yet

    def take(self, piece: Piece) -> bool:
        """Grow by a chunk, if its `seq` and `offset` join and it is not too much."""
        if self._size + piece.size > self._most or not _joins(self._last, piece):
            return False
        self._last = piece
        self._size += piece.size
        self._texts.append(piece.frame.text)
        if piece.size >= _LONG_TEXT:
            self._short = len(self._texts)
        elif len(self._texts) - self._short == _SHORT_TEXTS:
            self._texts[self._short :] = ["".join(self._texts[self._short :])]
            self._short += 1
        return True

    def frame(self) -> Text:
        """The one chunk for all of them."""
        first, last = self._first, self._last
        if first is last:
            return first.frame
        text, since = "".join(self._texts), first_seq(first.frame)
        return replace(first.frame, text=text, seq=last.frame.seq, since=since)


def fold(
    frames: Iterable[ServerFrame | Other], most: int = FOLDED_TEXT_BYTES
) -> Iterator[ServerFrame | Other]:
    """Fold each run of adjacent chunks whose `seq` and `offset` join, to `most` bytes of text.

    Frames that do not join, a single chunk over the bound and everything else pass through in
    order.
    """
    run: Fold | None = None
    for frame in frames:
        piece = Piece(frame) if isinstance(frame, Text) else None
        if run is not None and piece is not None and run.take(piece):
            continue
        if run is not None:
            yield run.frame()
        run = None if piece is None else Fold(piece, most)
        if piece is None:
            yield frame
    if run is not None:
        yield run.frame()


def first_seq(frame: Text) -> int:
    """The first of the positions that a chunk stands for."""
    return frame.since or frame.seq


def _joins(left: Piece, right: Piece) -> bool:
    """Whether `right` goes on where `left` ends, in the log and in the text."""
    before, after = left.frame, right.frame
    return (
        type(before) is type(after)
        and before.answer == after.answer
        and left.end == after.offset
        # Chunks that complete a snapshot stand outside the log and have no `seq` at all.
        and (first_seq(after) == before.seq + 1 if before.seq else not after.seq)
    )
