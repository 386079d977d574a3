"""A socket's following without the socket, and answers for it to follow."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from protocol.codec import JSON
from protocol.frames.from_client import Attach
from protocol.frames.from_server import Attached, Chunk
from protocol.types import Position
from server.ws.following import Following
from server.ws.options import Options
from server.ws.outbox import Outbox
from storage.records import Sent
from tests.support.place import Place
from tests.support.wire import FakeWire


class Device:
    """A socket's following, with what it was sent."""

    def __init__(self, place: Place) -> None:
        self.wire = FakeWire()
        self.tasks: set[asyncio.Task[None]] = set()
        self.adrift = 0
        outbox = Outbox(self.wire, JSON, Options(), lambda: None)
        self.following = Following(
            place.hub, place.world.store.history, outbox, self._spawn, self._count
        )
        self.following.owner = place.world.owner

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.create_task(work))

    def _count(self) -> None:
        self.adrift += 1

    async def attach(
        self, conversation: str, at: Position | None = None, most: int = 50
    ) -> Attached:
        """Attach, and what that was answered with."""
        answers: list[Attached] = []

        def answered(frame: Attached) -> None:
            answers.append(frame)
            self.following.outbox.send(frame)

        wanted = Attach(
            conversation=conversation,
            epoch=at.epoch if at else None,
            seq=at.seq if at else None,
        )
        await self.following.attach(wanted, most, answered)
        (attached,) = answers
        return attached

    async def settle(self) -> None:
        """Until nothing more is under way."""
        async with asyncio.timeout(10):
            while self.tasks:
                done, self.tasks = self.tasks, set()
                await asyncio.gather(*done)

    @property
    def text(self) -> str:
        """All chunks' texts."""
        return "".join(frame.text for frame in self.wire.frames if isinstance(frame, Chunk))


async def spoken(place: Place, *texts: str) -> Sent:
    """An answer that has said so much."""
    sent = await place.sent()
    writer = await place.writer(sent)
    for text in texts:
        writer.text(text)
        await writer.settled()
    return sent
