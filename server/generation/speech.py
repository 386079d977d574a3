"""What a model says, on its way into the answer's log.

`read` is the hot path: per piece of text it does what each needs, and nothing that can be done once
for many. The silence of a model is seen by comparing `events` from time to time.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from typing import NoReturn, TypeAlias

import msgspec
from msgspec import Raw

from protocol.frames.from_server import Citation, Status, Thought
from protocol.frames.objects import Cited, Source, Sources
from protocol.text import utf16_length
from protocol.types import AnswerState
from server.generation.options import Options
from server.providers.base import CallsTool, Cites, Finished, ModelEvent, Thinking
from server.streams.pieces import CHUNK_CHARACTERS
from server.streams.writer import Writer
from storage.records import Answer
from storage.values import EMPTY_LIST, Json

# So many pieces of a model that never waits, and others have their turn.
PIECES_PER_TURN = 256
MOST_CALLS = 16  # of tools, in one step
MOST_CITATIONS = 1000
MOST_SOURCES = 64
# Of all citations as JSON: with them and with the sources among them, a message whose text is not
# of the very longest still fits one frame.
CITED_BYTES = 48 * 1024

_JSON = msgspec.json.Encoder()
_SOURCES: msgspec.json.Decoder[list[Source]] = msgspec.json.Decoder(Sources)

Citations: TypeAlias = tuple[Cited, ...]


class TooLong(Exception):
    """The answer reached its greatest length; its text or thought was cut there."""


class Speech:
    """What one answer says, in all its steps; `said`, `thought` and `cited` are of earlier ones."""

    def __init__(
        self,
        answer: Answer,
        writer: Writer,
        options: Options,
        *,
        said: str = "",
        thought: int = 0,
        cited: Citations = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.phase = answer.phase
        self.calls: list[CallsTool] = []  # of this step
        self.thought = thought  # UTF-16 units
        self.cited = list(cited)  # some may not stand in the log yet
        self.first_at: float | None = None  # when its first text came
        self.blocked = False  # waiting for the log, not for the model
        self._answer = answer
        self._writer = writer
        self._options = options
        self._clock = clock
        self._cited_before = len(cited)
        self._cited_left = CITED_BYTES - sum(map(_size, cited))
        self._encoded, self._citations = 0, EMPTY_LIST
        self._said = [said] if said else []
        # Of earlier thoughts only the units are known, which are not more than their bytes.
        self._left = options.output_bytes - _json_bytes(said) - thought
        self._others = 0  # events that are no text
        self._held: asyncio.Event | None = None
        self._step_begins = 0  # UTF-16 units
        self._step_pieces = 0
        self._step_events = 0

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def begin_step(self) -> None:
        """The model is about to be asked."""
        self.end_step()
        self._step_begins = self._writer.length
        self.tell(AnswerState.THINKING)

    def end_step(self) -> None:
        """The step's text is whole, and its calls are stored."""
        self.calls = []
        self._step_pieces = len(self._said)
        self._step_events = self.events

    @property
    def begun(self) -> bool:
        """Whether anything came of this step; before that it can be begun anew, by anybody."""
        return self.events > self._step_events

    @property
    def events(self) -> int:
        """How often the model was heard."""
        return len(self._said) + self._others

    @property
    def pieces(self) -> int:
        """In how many pieces the model gave its text."""
        return len(self._said)

    @property
    def said(self) -> str:
        """The text of all steps, as the model gave it."""
        return "".join(self._said)

    @property
    def said_in_step(self) -> str:
        """The same of this step; it is paid for, whether it was written or not."""
        return "".join(self._said[self._step_pieces :])

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def read(self, events: AsyncIterator[ModelEvent]) -> Finished | None:
        """Write what comes until the step is finished; None: it broke off without a word."""
        writer, said, write = self._writer, self._said, self._writer.text
        async for event in events:
            if isinstance(event, str):
                said.append(event)
                if self._held is not None:
                    await self._until_not_held()
                if self.phase is not AnswerState.GENERATING:
                    self._begin_text()
                self._left -= _json_bytes(event)
                if self._left < 0:
                    self._end_with(event, write)
                write(event)
                if writer.full:
                    await self._room()
                if not len(said) % PIECES_PER_TURN:
                    await asyncio.sleep(0)
            else:
                await self._until_not_held()
                if isinstance(event, Finished):
                    return event
                self._others += 1
                self._take(event)
                if writer.full:
                    await self._room()
                await asyncio.sleep(0)
        return None

    def _begin_text(self) -> None:
        self.tell(AnswerState.GENERATING)
        if self.first_at is None:
            self.first_at = self._clock()

    def _end_with(self, piece: str, write: Callable[[str], None]) -> NoReturn:
        """Write of the piece that does not fit what does, up to a code point's end."""
        room = self._left + _json_bytes(piece)
        piece = piece[:room]  # no character has less than a byte
        fits = bisect_right(range(len(piece) + 1), room, key=lambda end: _json_bytes(piece[:end]))
        if fits > 1:
            write(piece[: fits - 1])
        raise TooLong

    def _take(self, event: Thinking | Cites | CallsTool) -> None:
        match event:
            case Thinking():
                self._think(event.text)
            case Cites():
                self._cite(event)
            case CallsTool():
                if len(self.calls) <= MOST_CALLS:  # one more says that there are too many
                    self.calls.append(event)

    def _think(self, text: str) -> None:
        if not self._options.thoughts:
            return
        self._left -= _json_bytes(text)
        if self._left < 0:
            self._end_with(text, self._write_thought)
        self._write_thought(text)

    def _write_thought(self, text: str) -> None:
        for begin in range(0, len(text), CHUNK_CHARACTERS):
            part = text[begin : begin + CHUNK_CHARACTERS]
            answer = self._answer
            self._writer.frame(
                Thought(
                    conversation=answer.conversation,
                    answer=answer.id,
                    offset=self.thought,
                    text=part,
                )
            )
            self.thought += utf16_length(part)

    def _cite(self, event: Cites) -> None:
        """What is no span of this step's text, or has no sources that fit, is left out."""
        if len(self.cited) == MOST_CITATIONS or self._cited_left <= 0:
            return
        start, end = self._step_begins + event.start, self._step_begins + event.end
        try:
            sources = self._fitting(_SOURCES.decode(event.sources))
        except msgspec.MsgspecError:
            return
        if not sources or not 0 <= event.start <= event.end or end > self._writer.length:
            return
        cited = Cited(start=start, end=end, sources=sources)
        self._cited_left -= _size(cited)
        self.cited.append(cited)
        answer = self._answer
        self._writer.frame(
            Citation(
                conversation=answer.conversation,
                answer=answer.id,
                start=start,
                end=end,
                sources=sources,
            )
        )

    def _fitting(self, sources: list[Source]) -> list[Source]:
        """The first of them, as many as there is room for."""
        left = self._cited_left
        for count, source in enumerate(sources):
            left -= _size(source)
            if left < 0:
                return sources[:count]
        return sources

    async def _until_not_held(self) -> None:
        while self._held is not None:
            await self._held.wait()

    async def _room(self) -> None:
        self.blocked = True
        try:
            await self._writer.room()
        finally:
            self.blocked = False

    # ── from outside ─────────────────────────────────────────────────────────────────────────────

    def tell(self, phase: AnswerState) -> None:
        """Say what the answer is doing."""
        self.phase = phase
        answer = self._answer
        self._writer.frame(
            Status(
                conversation=answer.conversation,
                answer=answer.id,
                attempt=answer.attempt,
                state=phase,
            )
        )

    @property
    def held(self) -> bool:
        """Whether nothing more is written for now."""
        return self._held is not None

    def hold(self) -> None:
        """Write nothing more until told to go on."""
        if self._held is None:
            self._held = asyncio.Event()

    def go_on(self) -> None:
        """Write again."""
        if self._held is not None:
            self._held.set()
            self._held = None

    @property
    def _told(self) -> int:
        """How many citations stand in the log, of all that there are."""
        return self._cited_before + self._writer.cited

    def citations(self) -> Json:
        """Those that were told, as rows keep them; whoever cut the rest off never showed it."""
        if self._told != self._encoded:
            told = self.cited[: self._told]
            self._encoded, self._citations = len(told), Raw(msgspec.json.encode(told))
        return self._citations

    def sources(self) -> Json:
        """What they rest on, each place once, in the order in which it was first cited."""
        told = self.cited[: self._told]
        found = dict.fromkeys(source for cited in told for source in cited.sources)
        return Raw(msgspec.json.encode(list(found)[:MOST_SOURCES]))


def _size(item: Cited | Source) -> int:
    return len(msgspec.json.encode(item)) + len(",")


def _json_bytes(text: str) -> int:
    """What it takes in a frame of either encoding, at most; escapes count."""
    return len(_JSON.encode(text)) - len('""')
