"""A conversation's log with faults, its one channel here, and people who come and go."""

import asyncio
import random

from protocol.frames.from_server import Chunk
from protocol.types import Position
from server.streams.channel import Channel
from server.streams.entry import encode
from server.streams.options import Options
from storage.log import ROWS, Append, Appended, Delivery, Doubt, Sink
from tests.support.faultylog import FaultyLog
from tests.support.place import Listener

HERE = "c_1"


class Hall:
    """A log, and the channel that its hub would have."""

    def __init__(self, options: Options | None = None) -> None:
        self.log = FaultyLog()
        self.options = options or Options()
        self.channel: Channel | None = None
        self.head = Position("", 0)

    async def open(self, entries: int = 0) -> None:
        """An epoch with so much in it."""
        before = self.head.epoch or None
        now = (await self.log.real.heads([HERE]))[HERE]
        head = await self.log.real.open(HERE, before if now else None, 0, {})
        assert head is not None
        self.head = head
        await self.append(entries)

    async def append(self, count: int = 1) -> None:
        """So many more."""
        for _ in range(count):
            seq = self.head.seq + 1
            body = encode(Chunk(answer="m_1", offset=seq - 1, text="x"))
            [result] = await self.log.append([Append(HERE, ROWS, 0, seq, body, self.head)])
            assert isinstance(result, Appended)
            self.head = Position(self.head.epoch, result.seq)

    async def join(self, listener: Listener, seq: int) -> None:
        """Follow from a place of the present epoch, as the hub has it done."""
        if self.channel is None:
            self.channel = Channel(
                HERE, self.log, self.options, self._closed, lambda lost: lost.lose()
            )
        await self.channel.join(listener, Position(self.head.epoch, seq))

    @property
    def idle(self) -> bool:
        """Nobody follows, and nothing is kept for it."""
        return self.log.followed == 0 and self.channel is None

    async def check(self) -> None:
        """A look at the head, and time for what it leads to."""
        if self.channel is not None and (asked := self.channel.position) is not None:
            heads = await self.log.real.heads([HERE])
            self.channel.check(asked, heads[HERE])
        await asyncio.sleep(1)

    def _closed(self, channel: Channel) -> None:
        if self.channel is channel:
            self.channel = None


class Crowd:
    """Comers and goers at random moments."""

    def __init__(self, hall: Hall, chance: random.Random) -> None:
        self.stayers = [(Listener(), chance.randrange(11)) for _ in range(12)]
        self.leavers = [(Listener(), chance.randrange(11)) for _ in range(3)]
        self._hall = hall
        self._chance = chance

    async def move(self) -> None:
        """All of them."""
        comings = [self._come(*each) for each in self.stayers + self.leavers]
        goings = [self._go(listener) for listener, _ in self.leavers]
        await asyncio.gather(*comings, *goings)

    def leave(self) -> None:
        """The rest of them."""
        for listener, _ in self.stayers + self.leavers:
            if self._hall.channel is not None:
                self._hall.channel.leave(listener)

    async def _come(self, listener: Listener, seq: int) -> None:
        await self._dawdle()
        await self._hall.join(listener, seq)

    async def _go(self, listener: Listener) -> None:
        await self._dawdle()
        if self._hall.channel is not None:
            self._hall.channel.leave(listener)

    async def _dawdle(self) -> None:
        for _ in range(self._chance.randrange(20)):
            await asyncio.sleep(0)


class Prankster:
    """Loses, doubles, delays and invents deliveries."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._late: list[Delivery] = []

    def carry(self, delivery: Delivery, sink: Sink) -> None:
        """Do to it what chance says."""
        self._late.append(delivery)
        match self._chance.randrange(6):
            case 0:
                self._late.pop()
            case 1:
                sink(delivery)
            case 2:
                sink(Doubt())
            case 3:
                self._chance.shuffle(self._late)
                for each in self._late:
                    sink(each)
                self._late.clear()
            case 4:
                sink(self._chance.choice(self._late))
