"""One answer's way into its log.

Text is taken synchronously and gathers: while an append is under way, and for a moment after it,
tokens wait for the next one, which takes them all. So a token after a pause leaves at once, and
under load chunks grow instead of queues. Frames keep their place between the texts, and none of
them is bigger than a server's frame may be.

What an append became of is told to `took`. An append without a reply is asked again with the same
bytes; in a new epoch the whole text is told anew.

While the log is away text goes on gathering, and SQL is given it before the log. What SQL was given
is promised: a snapshot may show it and whoever takes the answer over ends it with that, so it is
told once the log is back, though the answer be cut meanwhile.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Protocol

from protocol.frames.from_server import Chunk, Citation, Logged, Reset
from protocol.frames.objects import Cited
from protocol.limits import SERVER_FRAME_BYTES
from protocol.text import utf16_length
from protocol.types import Position, ResetReason
from server.streams import pieces
from server.streams.entry import encode
from server.streams.options import Options
from server.streams.tail import Told
from storage.errors import Fenced
from storage.log import Append, Appended, Refusal, Refused
from storage.records import Answer, Tail

# Of one answer in one call, if it is more than one frame: much may have gathered.
TAKEN_BYTES = SERVER_FRAME_BYTES


class Carrier(Protocol):
    """What takes a writer's appends to the log."""

    options: Options
    distance_s: float  # between two appends of one answer, at present

    def ready(self, writer: "Writer") -> None:
        """It has something to append."""


class Writer:
    """What the owner of an answer writes through; made by `Hub.writer`."""

    def __init__(
        self,
        answer: Answer,
        position: Position,
        ordinal: int,
        pump: "Carrier",
    ) -> None:
        self.answer = answer
        self.position = position  # behind everything of this answer that stands in the log
        self.lost = False
        self.held = False  # nothing is appended until it is known that its owner still is
        self.moving = False  # into another epoch, and nothing is appended meanwhile
        self.unanswered = 0  # tries in a row without a reply; with any, the log is away
        self.failure: Exception | None = None
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._gathers = pump.options.gather_ms > 0
        self._most = pump.options.gathered_bytes
        self._ordinal = ordinal
        self._told = Told(answer.length)
        self._cited: list[Citation] = []  # those that stand in the log
        self._promised = 0  # UTF-16 units that SQL was given, or another epoch had
        self._queue: list[str | Logged] = []
        self._queued_characters = 0
        self._under_way: list[tuple[Logged, Append]] = []
        self._due = False  # an append is under way, or it is known when the next one will be
        self._next = 0.0
        self._hurried: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        """Name the answer and how much waits, never the text."""
        return f"<Writer {self.answer.id} waiting={self._queued_characters} lost={self.lost}>"

    @property
    def length(self) -> int:
        """UTF-16 units of this attempt, waiting ones included."""
        return self._told.end + utf16_length(self._waiting_text())

    @property
    def cited(self) -> int:
        """Citations that stand in the log."""
        return len(self._cited)

    @property
    def full(self) -> bool:
        """So much has gathered that nothing more should be read from the model."""
        return self._queued_characters > self._most

    def text(self, text: str) -> None:
        """Append a piece of the answer's text."""
        self._queue.append(text)
        self._queued_characters += len(text)
        if not self._due:
            self._plan()

    def frame(self, frame: Logged) -> None:
        """Append any other frame of the answer, behind the text so far."""
        self._queue.append(frame)
        self._queued_characters += pieces.characters(frame)
        if not self._due:
            self._plan()

    async def room(self) -> None:
        """Wait until it is full no more."""
        while self.full and not self.lost:
            await self._change()

    async def settled(self) -> None:
        """Wait until everything written stands in the log; `Fenced` if another owns the answer."""
        await self._flushed()
        self._demand()

    async def cut(self) -> None:
        """Drop what waits and is not promised, and wait for what is under way."""
        self._drop()
        while self._under_way and not self.lost:
            await self._change()
        self._drop()
        await self._flushed()

    async def reset(self, attempt: int, reason: ResetReason) -> None:
        """Give up the attempt's text; SQL has committed to the next attempt already."""
        self._promised = 0
        await self.cut()
        self._demand()
        self._promised = 0
        self._told.restart()
        answer = self.answer
        self.frame(
            Reset(
                conversation=answer.conversation, answer=answer.id, attempt=attempt, reason=reason
            )
        )

    def unsaved(self) -> Tail:
        """What SQL is to be given: text that stands in the log, or all of it while the log is away.

        The position is never beyond what the log has of it, so the log may forget what lies before.
        """
        start, text = self._told.unsaved()
        if self.unanswered:
            text += pieces.behind(self._waiting_text(), start - self._told.end)
            self._promised = max(self._promised, start + utf16_length(text))
        return Tail(start, text, self.position.epoch, self.position.seq)

    def saved(self, length: int) -> None:
        """SQL has the text up to there."""
        self._told.saved(length)

    def hold(self) -> None:
        """Append nothing until told to go on."""
        self.held = True

    def go_on(self) -> None:
        """Append again."""
        if self.held:
            self.held = False
            self._pump.ready(self)

    # ── for the hub ──────────────────────────────────────────────────────────────────────────────

    def take(self) -> Sequence[Append]:
        """What to append now; what went without a reply comes first, and alone."""
        self._hurried = None
        if self.lost:  # who speaks on has not heard of it yet
            self._wait_with([])
        elif not self._under_way:
            frames = self._frames()
            self._wait_with(pieces.taken_back(frames[self._send_off(frames) :]))
        return [append for _, append in self._under_way]

    def took(self, results: Sequence[Appended | Refused]) -> Refusal | None:
        """What became of them; the refusal, if there was one, is for the hub to act upon."""
        if self.lost:  # it learnt so while they were under way
            self._go_on()
            return None
        done = 0
        refusal = None
        for (frame, _), result in zip(self._under_way, results, strict=True):
            if isinstance(result, Refused) and result.reason is not Refusal.FORGOTTEN:
                refusal = result.reason
                break
            if isinstance(result, Appended):
                self.position = Position(self.position.epoch, result.seq)
            if isinstance(frame, Chunk):
                self._told.add(frame.text)
            elif isinstance(frame, Citation):
                self._cited.append(frame)
            done += 1
        del self._under_way[:done]
        if refusal is Refusal.UNAVAILABLE:
            self.out_of_reach()
        elif self.unanswered:
            self._in_reach()
        if refusal is None:
            self._go_on()
        return refusal

    @property
    def still(self) -> bool:
        """Whether nothing of it may be appended for now."""
        return self.held or self.moving

    @property
    def owes_text(self) -> bool:
        """Whether a part of the text has yet to stand in the log, or may have to."""
        return self.moving or bool(self._waiting_text())

    @property
    def idle(self) -> bool:
        """Whether no reply is due that would say which epoch the log is in."""
        return not (self._under_way or self.moving or self.lost)

    def out_of_reach(self) -> None:
        """The log does not answer: nothing bounds what gathers but the answer's own length."""
        self.unanswered += 1
        if self._most != sys.maxsize:
            self._most = sys.maxsize
            self._wake()

    def fail(self, failure: Exception) -> None:
        """What was written cannot be told: the run is told so where it waits."""
        self.failure = failure
        self.lose()

    def lose(self) -> None:
        """Another owns the answer, or it has ended: nothing of this owner is told any more."""
        self.lost = True
        self._under_way.clear()
        self._queue.clear()
        self._queued_characters = 0
        self._wake()

    def renew(
        self, position: Position, ordinal: int, said: str, cited: Sequence[Cited] = ()
    ) -> None:
        """A new epoch is told all of the text, which began with what SQL has `said`.

        Somebody may have been shown less of it there than SQL had when this was learnt. Behind it
        the citations are told that SQL has not.
        """
        end, units = self._told.end, utf16_length(said)
        self._told.saved(units)
        start, kept = self._told.unsaved()
        self._queue[:0] = pieces.taken_back(frame for frame, _ in self._under_way)
        self._under_way.clear()
        if start == units:
            start, kept = 0, said + kept
            if units > end and not any(isinstance(item, Reset) for item in self._queue):
                # Its text comes first in any case: by that it is known as told again.
                self._queue = pieces.without(self._queue, units - end)
            else:
                kept = pieces.before(kept, end)
        self._told.restart(min(start, end), self._told.stored)
        self.position, self._ordinal = position, ordinal
        self._in_reach()
        known = [each for each in self._cited if _as_stored(each) in cited]
        lacking = [each for each in self._cited if each not in known]
        self._cited = known
        # What was told before is no more to be cut.
        self._tell_first(kept, lacking)

    def go_on_from(self, said: str, told: int) -> None:
        """SQL has `said`, the log so many units of it: tell it the rest, and go on from there."""
        self._told.restart(told, utf16_length(said))
        self._tell_first(pieces.behind(said, told))

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _in_reach(self) -> None:
        self.unanswered = 0
        self._most = self._pump.options.gathered_bytes

    def _tell_first(self, text: str, cited: Sequence[Citation] = ()) -> None:
        """Before all that waits; the text is promised."""
        self._promised = max(self._promised, self._told.end + utf16_length(text))
        self._wait_with([*([text] if text else []), *cited, *self._queue])
        self._wake()  # who cuts comes before the next append
        if self._queue:
            self._due = True
            self._pump.ready(self)
        else:
            self._go_on()

    def _wait_with(self, queue: list[str | Logged]) -> None:
        self._queue = queue
        self._queued_characters = sum(map(pieces.characters, queue))

    def _waiting_text(self) -> str:
        texts = [frame.text for frame, _ in self._under_way if isinstance(frame, Chunk)]
        texts += [item for item in self._queue if isinstance(item, str)]
        return "".join(texts)

    def _plan(self) -> None:
        """Append at once after a pause, else when the least distance allows."""
        self._due = True
        now = self._loop.time()
        if now >= self._next or not self._gathers:
            self._next = now + self._pump.distance_s
            self._pump.ready(self)
        else:
            self._hurried = self._loop.call_at(self._next, self._on_time)
            self._next += self._pump.distance_s

    def _on_time(self) -> None:
        self._hurried = None
        self._pump.ready(self)

    def _go_on(self) -> None:
        self._due = False
        if self._queue:
            self._plan()
        self._wake()

    def _frames(self) -> list[Logged]:
        """The queue, with adjacent texts as one chunk where they may gather."""
        frames: list[Logged] = []
        offset = self._told.end
        for item in pieces.gathered(self._queue) if self._gathers else self._queue:
            if isinstance(item, Logged):
                frames.append(item)
                offset = 0 if isinstance(item, Reset) else offset
                continue
            frames += pieces.chunks(self.answer.id, item, offset)
            offset += utf16_length(item)
        return frames

    def _send_off(self, frames: Sequence[Logged]) -> int:
        """Have as many as one call takes on their way; how many those are."""
        size = 0
        for frame in frames:
            if size >= TAKEN_BYTES:
                break
            self._ordinal += 1
            append = self._append(self._ordinal, frame)
            self._under_way.append((frame, append))
            size += len(append.body)
        return len(self._under_way)

    def _append(self, ordinal: int, frame: Logged) -> Append:
        answer = self.answer
        return Append(
            answer.conversation, answer.id, answer.fence, ordinal, encode(frame), self.position
        )

    def _drop(self) -> None:
        under_way = (frame.text for frame, _ in self._under_way if isinstance(frame, Chunk))
        units = self._promised - self._told.end - sum(map(utf16_length, under_way))
        self._wait_with(pieces.promised(self._queue, units))

    async def _flushed(self) -> None:
        while (self._queue or self._under_way or self.moving) and not self.lost:
            if self._hurried is not None:
                self._hurried.cancel()
                self._hurried = None
                self._pump.ready(self)
            await self._change()

    def _demand(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.lost:
            raise Fenced(f"answer {self.answer.id!r}", self.answer.fence)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        await future


def _as_stored(frame: Citation) -> Cited:
    return Cited(start=frame.start, end=frame.end, sources=frame.sources)
