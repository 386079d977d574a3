"""One answer's way into its log.

Text is taken synchronously and gathers: while an append is under way, and for a moment after it,
tokens wait for the next one, which takes them all. So a token after a pause leaves at once, and
under load chunks grow instead of queues. Frames keep their place between the texts, and none of
them is bigger than a server's frame may be.

What an append became of is told to `took`. An append without a reply is asked again with the same
bytes; in a new epoch everything that SQL does not have is told anew.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from protocol.frames.from_server import Chunk, Citation, Logged, Reset, Thought, Tool
from protocol.text import utf16_length
from protocol.types import Position, ResetReason
from server.streams.entry import encode
from server.streams.options import Options
from server.streams.tail import Told
from storage.errors import Fenced
from storage.log import Append, Appended, Refusal, Refused
from storage.records import Answer, Tail

# Characters of a chunk or thought: even if each takes six bytes as an escape, it fits a frame.
CHUNK_CHARACTERS = 32 * 1024


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
        self.cited = 0  # citations that stand in the log
        self.lost = False
        self.failure: Exception | None = None
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._gathers = pump.options.gather_ms > 0
        self._most = pump.options.gathered_bytes
        self._ordinal = ordinal
        self._told = Told(answer.length)
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
        waiting = [frame.text for frame, _ in self._under_way if isinstance(frame, Chunk)]
        waiting += [item for item in self._queue if isinstance(item, str)]
        return self._told.end + sum(map(utf16_length, waiting))

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
        self._queued_characters += _characters(frame)
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
        """Drop what waits, and wait for what is under way.

        Only tool calls are told all the same: they stand in SQL, where a reload finds them.
        """
        self._drop()
        while self._under_way and not self.lost:
            await self._change()
        self._drop()
        await self._flushed()

    async def reset(self, attempt: int, reason: ResetReason) -> None:
        """Give up the attempt's text; SQL has committed to the next attempt already."""
        await self.cut()
        self._demand()
        self._told.restart()
        answer = self.answer
        self.frame(
            Reset(
                conversation=answer.conversation, answer=answer.id, attempt=attempt, reason=reason
            )
        )

    def unsaved(self) -> Tail:
        """Text that stands in the log and not yet in SQL, and the position behind it."""
        start, text = self._told.unsaved()
        return Tail(start, text, self.position.epoch, self.position.seq)

    def saved(self, length: int) -> None:
        """SQL has the text up to there."""
        self._told.saved(length)

    # ── for the hub ──────────────────────────────────────────────────────────────────────────────

    def take(self) -> Sequence[Append]:
        """What to append now; what went without a reply comes first, and alone."""
        self._hurried = None
        if not self._under_way and not self.lost:
            frames = self._frames()
            self._queue.clear()
            self._queued_characters = 0
            self._send_off(frames)
        return [append for _, append in self._under_way]

    def took(self, results: Sequence[Appended | Refused]) -> Refusal | None:
        """What became of them; the refusal, if there was one, is for the hub to act upon."""
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
                self.cited += 1
            done += 1
        del self._under_way[:done]
        if refusal is None:
            self._go_on()
        return refusal

    def again(self) -> None:
        """No reply came: ask again."""
        self._pump.ready(self)

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

    def renew(self, position: Position, ordinal: int, said: str) -> None:
        """A new epoch is told all of the text, which began with what SQL has `said`.

        Somebody may have been shown less of it there than SQL had when this was learnt.
        """
        self._told.saved(utf16_length(said))
        start, kept = self._told.unsaved()
        if start == utf16_length(said):
            start, kept = 0, said + kept
        self._told.restart(start)
        pending = [
            frame.text if isinstance(frame, Chunk) else frame for frame, _ in self._under_way
        ]
        self._queue[:0] = pending
        self._queued_characters = sum(map(_characters, self._queue))
        self.position, self._ordinal = position, ordinal
        # What was told before is no more to be cut.
        self._send_off(self._chunks(kept, start))
        if self._under_way:
            self._pump.ready(self)
        else:
            self._go_on()

    # ── within ───────────────────────────────────────────────────────────────────────────────────

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
        for item in _gathered(self._queue) if self._gathers else self._queue:
            if isinstance(item, Logged):
                frames.append(item)
                offset = 0 if isinstance(item, Reset) else offset
                continue
            chunks = self._chunks(item, offset)
            offset += utf16_length(item)
            frames += chunks
        return frames

    def _chunks(self, text: str, offset: int) -> list[Chunk]:
        chunks = []
        for begin in range(0, len(text), CHUNK_CHARACTERS):
            part = text[begin : begin + CHUNK_CHARACTERS]
            chunks.append(Chunk(answer=self.answer.id, offset=offset, text=part))
            offset += utf16_length(part)
        return chunks

    def _send_off(self, frames: Sequence[Logged]) -> None:
        self._under_way = [
            (frame, self._append(number, frame))
            for number, frame in enumerate(frames, self._ordinal + 1)
        ]
        self._ordinal += len(frames)

    def _append(self, ordinal: int, frame: Logged) -> Append:
        answer = self.answer
        return Append(
            answer.conversation, answer.id, answer.fence, ordinal, encode(frame), self.position
        )

    def _drop(self) -> None:
        self._queue = [item for item in self._queue if isinstance(item, Tool)]
        self._queued_characters = 0

    async def _flushed(self) -> None:
        while (self._queue or self._under_way) and not self.lost:
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


def _gathered(queue: Sequence[str | Logged]) -> Iterator[str | Logged]:
    texts: list[str] = []
    for item in queue:
        if isinstance(item, str):
            texts.append(item)
            continue
        if texts:
            yield "".join(texts)
            texts.clear()
        yield item
    if texts:
        yield "".join(texts)


def _characters(item: str | Logged) -> int:
    """Those that a model made, and whose number nothing else bounds."""
    if isinstance(item, str):
        return len(item)
    return len(item.text) if isinstance(item, Thought) else 0
