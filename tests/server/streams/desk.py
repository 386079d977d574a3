"""Answers written to a log whose faults a test chooses, with as much of SQL as writers need."""

import asyncio
from collections.abc import Awaitable, Sequence

from msgspec import Raw

from protocol.codec import Unknown
from protocol.frames.from_server import Chunk, Logged, Status
from protocol.text import utf16_length, utf16_slice
from protocol.types import AnswerState, Position
from server.streams.entry import decode
from server.streams.options import Options
from server.streams.pump import Pump
from server.streams.writer import Writer
from storage.log import Refusal, Registered, Slice
from storage.records import Answer, RunState
from tests.support.faultylog import Fault, FaultyLog

PATIENCE_S = 3600.0  # of virtual time


def answer(id: str = "m_2", *, conversation: str = "c_1", length: int = 0) -> Answer:
    """A running answer."""
    return Answer(
        tenant="t",
        conversation=conversation,
        id=id,
        user="ann",
        parent="m_1",
        number=2,
        state=RunState.RUNNING,
        phase=AnswerState.QUEUED,
        stop=None,
        attempt=1,
        incarnation="here",
        fence=1,
        request=Raw(b"{}"),
        transcript=None,
        model=None,
        epoch=None,
        seq=0,
        length=length,
        created_at=0,
        started_at=0,
    )


def status(number: int = 1) -> Status:
    """A frame of an answer that is no text."""
    return Status(conversation="c_1", answer="m_2", attempt=number, state=AnswerState.GENERATING)


class Desk:
    """A pump at work for one conversation; what `mend` does is what the hub does, without SQL."""

    def __init__(self, options: Options | None = None) -> None:
        self.log = FaultyLog()
        self.options = options or Options()
        self.spent = 0.0  # processor time
        self.pump = Pump(self.log, self._mend, self.options, lambda: self.spent)
        self.stored: dict[str, str] = {}  # what SQL has of each answer
        self.mended: list[Refusal] = []
        self._running = asyncio.create_task(self.pump.run())

    async def begin(self, *ids: str) -> list[Writer]:
        """Answers of one conversation, and their ways into its log."""
        position = await self.log.open("c_1", None, 0, dict.fromkeys(ids, 1))
        assert position is not None
        self.stored |= dict.fromkeys(ids, "")
        return [Writer(answer(id), position, 0, self.pump) for id in ids]

    async def more(self, count: int) -> list[Writer]:
        """Further answers of the same conversation."""
        position = (await self.log.heads(["c_1"]))["c_1"]
        assert position is not None
        ids = [f"m_{number}" for number in range(100, 100 + count)]
        for id in ids:
            await self.log.fence("c_1", position.epoch, id, 1)
        self.stored |= dict.fromkeys(ids, "")
        return [Writer(answer(id), position, 0, self.pump) for id in ids]

    async def lose(self) -> None:
        """The log is gone."""
        await self.log.drop(["c_1"])

    def save(self, writer: Writer) -> None:
        """A checkpoint."""
        tail = writer.unsaved()
        id = writer.answer.id
        behind = utf16_length(self.stored[id]) - tail.start
        new = utf16_slice(tail.text, behind, utf16_length(tail.text))
        assert new is not None, "the text goes on where SQL ends, or before"
        self.stored[id] += new
        writer.saved(utf16_length(self.stored[id]))

    async def frames(self) -> list[Logged | Unknown]:
        """What the present epoch tells."""
        head = (await self.log.heads(["c_1"]))["c_1"]
        if head is None:
            return []
        page = await self.log.read("c_1", Position(head.epoch, 0), 100_000)
        assert isinstance(page, Slice)
        return [decode(entry.body, entry.seq) for entry in page.entries]

    async def told(self, id: str = "m_2", *, beside: bool = True) -> str:
        """The answer's text for who sees SQL's and then the log's, or the log's alone."""
        text = self.stored[id] if beside else ""
        for frame in await self.frames():
            if isinstance(frame, Chunk) and frame.answer == id:
                have = utf16_length(text) - frame.offset
                assert have >= 0, "a hole"
                size = utf16_length(frame.text)
                text += utf16_slice(frame.text, min(have, size), size) or ""
        return text

    async def close(self) -> None:
        """Nothing is left."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _mend(self, writer: Writer, refusal: Refusal) -> None:
        self.mended.append(refusal)
        if refusal in (Refusal.FENCED, Refusal.ENDED):
            writer.lose()
            return
        stale = writer.position.epoch
        head = (await self.log.heads(["c_1"]))["c_1"]
        if head is None or head.epoch == stale:
            instead_of = None if head is None else stale
            await self.log.open("c_1", instead_of, 0, dict.fromkeys(self.stored, 1))
        said = self.stored[writer.answer.id]
        await asyncio.sleep(0)  # SQL takes its time, and a checkpoint may come in between
        head = (await self.log.heads(["c_1"]))["c_1"]
        assert head is not None
        known = await self.log.fence("c_1", head.epoch, writer.answer.id, 1)
        assert isinstance(known, Registered)
        writer.renew(head, known.last, said)


def shown(frames: Sequence[Logged | Unknown]) -> list[str]:
    """Texts as they are, anything else by its kind."""
    return [frame.text if isinstance(frame, Chunk) else type(frame).__name__ for frame in frames]


class Author:
    """Does what a step says, and remembers what was written between two cuts."""

    def __init__(self, desk: Desk, writer: Writer) -> None:
        self.sections: list[list[str]] = [[]]
        self._written = 0
        self._desk = desk
        self._writer = writer

    async def act(self, step: str) -> None:
        """Do it."""
        self._written += 1
        if step in ("away", "no reply"):
            self._desk.log.faults.append(Fault.AWAY if step == "away" else Fault.NO_REPLY)
            return
        result = getattr(self, f"_{step}")()
        if result is not None:
            await result

    def _text(self) -> None:
        self.sections[-1].append(f"{self._written}😀 ")
        self._writer.text(self.sections[-1][-1])

    def _frame(self) -> None:
        self._writer.frame(status(self._written))

    def _turn(self) -> Awaitable[None]:
        return asyncio.sleep(0)

    def _wait(self) -> Awaitable[None]:
        return asyncio.sleep(0.2)

    def _save(self) -> None:
        self._desk.save(self._writer)

    def _settle(self) -> Awaitable[None] | None:
        return None if self._desk.log.gone else self._writer.settled()

    async def _cut(self) -> None:
        cut = asyncio.create_task(self._writer.cut())
        await asyncio.sleep(0.2)
        self._save()  # it waits for its log perhaps, and is checkpointed as before
        self._desk.log.gone = False
        await cut
        self.sections.append([])

    def _go(self) -> None:
        self._desk.log.gone = True

    def _back(self) -> None:
        self._desk.log.gone = False

    def _lose(self) -> Awaitable[None]:
        return self._desk.lose()
