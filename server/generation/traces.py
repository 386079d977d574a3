"""What a log tells of an answer whose owner is gone: how far it was told, and what beyond SQL's."""

from msgspec import Struct

from protocol.codec import Unknown
from protocol.frames.from_server import Chunk, Citation, Logged, Reset, Status
from protocol.frames.objects import Cited
from protocol.text import utf16_length
from protocol.types import Position, Seq
from server.streams import pieces
from server.streams.entry import decode
from server.streams.hub import Hub
from storage.log import ROWS, Loss, Lost
from storage.records import Answer

PAGE = 1000


class Traces(Struct, frozen=True):
    """The answer's own frames behind a place; whether the answer's row stands there, too."""

    answer: Answer
    epoch: str
    after: Seq
    frames: tuple[Logged | Unknown, ...]
    last: Seq  # of these frames; without any, `after`
    row: bool

    @property
    def silent(self) -> bool:
        """Whether it is sure that nothing of it was shown in this epoch.

        What a newer version has told may have been something.
        """
        return self.row and all(isinstance(frame, Status) for frame in self.frames)

    @property
    def told(self) -> int | None:
        """UTF-16 units of its attempt that this epoch tells; None: that cannot be known any more.

        Entries behind a checkpoint stay until the end, and a checkpoint names its epoch. So what is
        trimmed was told before the checkpoint, in the same epoch.
        """
        chunks = self._chunks
        if self._astray or (self.answer.attempt > 1 and not self._resets):
            return None
        if chunks:
            return chunks[-1].offset + utf16_length(chunks[-1].text)
        trimmed = self.after > 0 and self.epoch == self.answer.epoch
        return None if trimmed and self.answer.length else 0

    def beyond(self, stored: int) -> str:
        """Its text behind so many units, if nothing is missing before that."""
        chunks = self._chunks
        if self._astray or not chunks or chunks[0].offset > stored:
            return ""
        return pieces.behind("".join(each.text for each in chunks), stored - chunks[0].offset)

    @property
    def cited(self) -> list[Cited]:
        """What its last attempt was told to rest on; some of it may be stored."""
        return [
            Cited(start=frame.start, end=frame.end, sources=frame.sources)
            for frame in self._last_attempt
            if isinstance(frame, Citation) and not self._astray
        ]

    @property
    def _resets(self) -> list[int]:
        """The attempts that are seen to begin."""
        return [frame.attempt for frame in self.frames if isinstance(frame, Reset)]

    @property
    def _astray(self) -> bool:
        """Whether its last chunks are of another attempt than SQL's, which may have gone back."""
        return self._resets[-1:] not in ([], [self.answer.attempt])

    @property
    def _chunks(self) -> list[Chunk]:
        return [frame for frame in self._last_attempt if isinstance(frame, Chunk)]

    @property
    def _last_attempt(self) -> tuple[Logged | Unknown, ...]:
        begins = 0
        for place, frame in enumerate(self.frames):
            if isinstance(frame, Reset):
                begins = place
        return self.frames[begins:]


async def find(hub: Hub, answer: Answer, epoch: str) -> Traces | None:
    """Read them, as few as tell enough; None: that epoch is over."""
    if answer.epoch == epoch and answer.length:
        found = await _read(hub, answer, epoch, max(0, answer.seq - 1))
        if found is None or found.told is not None:
            return found
    return await _read(hub, answer, epoch, 0)


async def _read(hub: Hub, answer: Answer, epoch: str, after: Seq) -> Traces | None:
    frames: list[Logged | Unknown] = []
    begins = last = after
    row = False
    while True:
        page = await hub.read(answer.conversation, Position(epoch, after), PAGE)
        if isinstance(page, Lost):
            if page.reason is Loss.AHEAD:  # rolled back: what it tells is of no more use
                return Traces(answer, epoch, after, (), after, False)
            if page.position is None or page.position.epoch != epoch or page.oldest <= after:
                return None
            # What was read may be gone by now, and yet it is all there was.
            begins = page.oldest if not frames else begins
            after = page.oldest
            continue
        for entry in page.entries:
            if entry.source == answer.id:
                frames.append(decode(entry.body, entry.seq))
                last = entry.seq
            row = row or (entry.source == ROWS and entry.ordinal == answer.number)
        if not page.entries:
            return Traces(answer, epoch, begins, tuple(frames), last, row)
        after = page.entries[-1].seq
