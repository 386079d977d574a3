"""Several chunks of one answer as one: text concatenates, so nothing is lost and frames are saved.

A reader that fell behind, or comes back, gets one bigger chunk instead of many small ones.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from protocol.frames.from_server import Chunk, ServerFrame, Text, Thought
from protocol.limits import SERVER_FRAME_BYTES
from protocol.text import utf16_length

Other = TypeVar("Other")

# What a chunk's other fields take at the most, in either encoding.
_ENVELOPE_BYTES = 512
FOLDED_TEXT_BYTES = SERVER_FRAME_BYTES - _ENVELOPE_BYTES


def fold(
    frames: Iterable[ServerFrame | Other], most: int = FOLDED_TEXT_BYTES
) -> Iterator[ServerFrame | Other]:
    """Fold each run of adjacent chunks whose `seq` and `offset` join, to `most` bytes of text.

    The bytes are those of the encoded text: an escaped control character takes six in JSON. Frames
    that do not join, a single chunk over the bound and everything else pass through in order.
    """
    run: list[Text] = []
    size = 0
    for frame in frames:
        if not isinstance(frame, Chunk | Thought):
            yield from _joined(run)
            yield frame
            run, size = [], 0
            continue
        added = len(msgspec.json.encode(frame.text)) - len('""')
        if run and (size + added > most or not _joins(run[-1], frame)):
            yield from _joined(run)
            run, size = [], 0
        run.append(frame)
        size += added
    yield from _joined(run)


def first_seq(frame: Text) -> int:
    """The first of the positions that a chunk stands for."""
    return frame.since or frame.seq


def _joins(left: Text, right: Text) -> bool:
    """Whether `right` goes on where `left` ends, in the log and in the text."""
    return (
        type(left) is type(right)
        and left.answer == right.answer
        and left.offset + utf16_length(left.text) == right.offset
        # Chunks that complete a snapshot stand outside the log and have no `seq` at all.
        and (first_seq(right) == left.seq + 1 if left.seq else not right.seq)
    )


def _joined(run: list[Text]) -> Iterator[Text]:
    if len(run) < 2:
        yield from run
        return
    first, last = run[0], run[-1]
    text = "".join(part.text for part in run)
    yield replace(first, text=text, seq=last.seq, since=first_seq(first))
