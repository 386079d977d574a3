"""A hub over a real store and a real log, and followers that keep what they are handed.

`other` is the hub of another instance, over the same rows and log; its appends do not run.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, structs

from protocol.codec import Unknown
from protocol.folding import first_seq
from protocol.frames.from_server import Chunk, Logged, ServerFrame
from protocol.frames.objects import Cited
from protocol.types import Position
from server.streams.entry import Shared
from server.streams.hub import Hub
from server.streams.options import Options
from server.streams.writer import Writer
from storage.log import EventLog
from storage.memory.bus import MemoryBus, Switchboard
from storage.memory.log import MemoryLog
from storage.records import Checkpoint, Commit, CommitKind, Ended, Sent, Tail
from tests.support.rows import DONE, World


def _first(frame: Logged | Unknown) -> int:
    return first_seq(frame) if isinstance(frame, Chunk) else frame.seq


class Listener:
    """A follower that keeps everything."""

    def __init__(self) -> None:
        self.entries: list[Shared] = []
        self.aside: list[ServerFrame] = []
        self.lost = 0
        self._changed = asyncio.Event()

    def take(self, entries: Sequence[Shared], *, live: bool) -> None:
        """Keep them."""
        self.entries += entries
        self._changed.set()

    def lose(self) -> None:
        """Count it."""
        self.lost += 1
        self._changed.set()

    def tell(self, frame: ServerFrame) -> None:
        """Keep it."""
        self.aside.append(frame)

    @property
    def seqs(self) -> list[int]:
        """The places of all that came; chunks that were missed are one, with all of theirs."""
        return [seq for frame in self.frames for seq in range(_first(frame), frame.seq + 1)]

    @property
    def frames(self) -> list[Logged | Unknown]:
        """What came, in order."""
        return [entry.frame() for entry in self.entries]

    @property
    def text(self) -> str:
        """The chunks' texts, one behind the other."""
        return "".join(frame.text for frame in self.frames if isinstance(frame, Chunk))

    async def until(self, count: int) -> None:
        """Wait for so many entries, however they come."""
        async with asyncio.timeout(5):
            while len(self.seqs) < count:
                self._changed.clear()
                await self._changed.wait()

    async def until_lost(self) -> None:
        """Wait until it is told that its position is gone."""
        async with asyncio.timeout(5):
            while not self.lost:
                self._changed.clear()
                await self._changed.wait()


class Place:
    """A hub with what it stands on, and short words for what happens to it."""

    def __init__(
        self,
        world: World,
        options: Options,
        log: EventLog | None = None,
        elsewhere: EventLog | None = None,
        switchboard: Switchboard | None = None,
    ) -> None:
        self.world = world
        self.log: EventLog = log or MemoryLog()
        self.reports: list[tuple[str | None, BaseException]] = []
        switchboard = switchboard or Switchboard()
        self.hub, self.other = (
            Hub(
                log,
                world.store.internal,
                MemoryBus(switchboard),
                lambda conversation, error: self.reports.append((conversation, error)),
                options,
            )
            for log in (self.log, elsewhere or self.log)
        )

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.world.tenant

    async def sent(self, **fields: Any) -> Sent:
        """A message whose answer runs here, with the log begun and its rows told."""
        sent = await self.world.send(incarnation="here", **fields)
        if await self.hub.head(sent.conversation) is None:
            await self.hub.begin(self.tenant, sent)
        await self.hub.tell(self.tenant, sent.conversation)
        return sent

    async def writer(self, sent: Sent) -> Writer:
        """The way into its log."""
        answer = await self.world.store.internal.answers.get(self.tenant, sent.answer)
        assert answer is not None
        return await self.hub.writer(answer)

    async def follow(self, sent: Sent, seq: int = 0) -> Listener:
        """A follower from that place of the present epoch."""
        head = await self.hub.head(sent.conversation)
        assert head is not None
        listener = Listener()
        await self.hub.join(self.tenant, sent.conversation, listener, Position(head.epoch, seq))
        return listener

    async def save(self, sent: Sent, tail: Tail, citations: list[Cited] | None = None) -> None:
        """A checkpoint of what the log was told."""
        piece = Checkpoint(
            held=self.world.held(sent),
            start=tail.start,
            text=tail.text,
            epoch=tail.epoch,
            seq=tail.seq,
            citations=None if citations is None else Raw(msgspec.json.encode(citations)),
        )
        (result,) = await self.world.store.internal.answers.checkpoint([piece])
        assert result.verdict == "stored", result

    async def restore(self, sent: Sent) -> None:
        """SQL is as it was before that message; the log is not."""
        before: dict[str, str | int] = {"conversation": sent.conversation, "first": sent.numbers[0]}
        gone = "WHERE conversation = :conversation AND number >= :first"
        await self.world.run(f"DELETE FROM commits {gone}", **before)
        await self.world.run(f"DELETE FROM answers {gone}", **before)
        await self.world.run(
            """
            UPDATE conversations SET commits = :first - 1, leaf = (
                SELECT id FROM messages WHERE conversation = :conversation AND number < :first
                ORDER BY number DESC LIMIT 1)
            WHERE id = :conversation
            """,
            **before,
        )
        await self.world.run(f"DELETE FROM messages {gone}", **before)

    async def end(self, sent: Sent, writer: Writer) -> Ended:
        """The answer ends with what it said, and the log hears of it."""
        how = structs.replace(DONE, tail=writer.unsaved())
        ended = await self.world.store.internal.answers.end(self.world.held(sent), how)
        await self.hub.tell(
            self.tenant,
            sent.conversation,
            [Commit(number=ended.number, kind=CommitKind.COMPLETE, row=ended)],
        )
        return ended
