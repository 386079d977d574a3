"""A connection to one server of Redis that only listens.

Channels are wanted or not; the line sees to it that the server knows, also after a cut. Who listens
is told `None` when something may have been missed. A connection that answers no pings is given up,
for a peer that vanished without a word stays silent for ever.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from storage.errors import Unavailable

PING_S = 1.0
UNANSWERED = 2  # pings in a row, then the line is dead
PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0  # before it is connected again
STEADY_S = 1.0  # a connection that lived so long was no vain one
CHANNELS_AT_ONCE = 1000

# What a server whose disk is full says to a ping, and goes on to tell what it hears.
FULL_DISK = "MISCONF"

LOST = (RedisError, OSError, Unavailable)

# What is done with a message, neither blocking nor raising; `None`: some may have been missed.
Receiver: TypeAlias = Callable[[bytes | None], None]


class Channel:
    """Who listens to one channel, and how far the server knows of it."""

    __slots__ = ("anew", "asked", "name", "receivers", "sure", "unconfirmed")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.receivers: list[Receiver] = []
        self.asked = False  # the server was told to send what comes there
        self.anew = False  # and is to be told so once more
        self.unconfirmed = 0  # how often it was told so and has not said yes yet
        self.sure = asyncio.Event()  # it sends, or did before a cut

    def tell(self, message: bytes | None) -> None:
        """Hand a message to all; a copy, for a receiver may leave meanwhile."""
        for receiver in tuple(self.receivers):
            receiver(message)


class Line:
    """Listens from the first wish on."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AbstractConnection]],
        cut: Callable[["Line"], Awaitable[None]],
        *,
        sharded: bool,
    ) -> None:
        """`cut` is awaited after the connection was lost, before the next try.

        Both may raise `Unavailable`.
        """
        self._sharded = sharded
        letter = b"s" if sharded else b""
        self._subscribe = (letter + b"subscribe").decode().upper()
        self._unsubscribe = (letter + b"unsubscribe").decode().upper()
        self._hear: dict[bytes, Callable[[Sequence[Any]], None]] = {
            letter + b"message": self._deliver,
            letter + b"subscribe": self._confirm,
            letter + b"unsubscribe": self._release,
        }
        self._connect = connect
        self._on_cut = cut
        self.channels: dict[bytes, Channel] = {}
        self._changed: dict[bytes, None] = {}
        self._change = asyncio.Event()
        self._worn = asyncio.Event()
        self._unanswered = 0
        self._pause_s = PAUSE_S  # before the next connection
        self._task: asyncio.Task[None] | None = None
        self._ended = False  # by itself

    def want(self, name: bytes, receiver: Receiver) -> None:
        """Hand what comes on a channel to the receiver too, from when it is `sure`."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.receivers.append(receiver)
        self._note(name)

    def leave(self, name: bytes, receiver: Receiver) -> int:
        """The receiver wants no more; gives how many others do."""
        channel = self.channels[name]
        channel.receivers.remove(receiver)
        if not channel.receivers:
            self._forget_unwanted(channel)
            self._note(name)
        return len(channel.receivers)

    def again(self, name: bytes) -> None:
        """Tell the server once more that the channel is wanted: it seems to have forgotten."""
        self.channels[name].anew = True
        self._note(name)

    def take_over(self, channel: Channel) -> None:
        """Hear here what was heard through a line that is cut now."""
        unwanted = self.channels.get(channel.name)
        if unwanted is not None:
            channel.unconfirmed = unwanted.unconfirmed
        self.channels[channel.name] = channel
        self._note(channel.name)

    def renew(self) -> None:
        """Leave the connection for a new one."""
        self._worn.set()

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    def _note(self, name: bytes) -> None:
        self._changed[name] = None
        self._change.set()
        if self.channels and (self._task is None or self._ended):
            self._ended = False
            self._task = asyncio.create_task(self._live(), name="redis subscriptions")
            self._task.add_done_callback(_tell_failure)

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        while self.channels:
            connection: AbstractConnection | None = None
            with suppress(*LOST):
                connection = await self._connect()
            if connection is not None:
                began = loop.time()
                await self._listen(connection)
                if loop.time() - began >= STEADY_S:
                    self._pause_s = PAUSE_S
            await asyncio.sleep(self._pause_s * (0.5 + random.random()))  # noqa: S311 - no secret
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            with suppress(*LOST):
                await self._on_cut(self)
        self._ended = True  # nobody listens any more

    async def _listen(self, connection: AbstractConnection) -> None:
        """Until the connection is lost."""
        self._unanswered = 0
        self._worn.clear()
        for channel in self.channels.values():
            self._changed[channel.name] = None
        self._change.set()
        tasks = [
            asyncio.create_task(self._read(connection)),
            asyncio.create_task(self._tell_changes(connection)),
            asyncio.create_task(self._ping(connection)),
            asyncio.create_task(self._wear_out()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, LOST):
                    _tell("a receiver of Redis' messages failed", ended)
            with suppress(*LOST):
                await connection.disconnect(nowait=True)
            for channel in list(self.channels.values()):
                channel.asked, channel.anew, channel.unconfirmed = False, False, 0
                self._forget_unwanted(channel)

    async def _read(self, connection: AbstractConnection) -> None:
        hear = self._hear
        while True:
            try:
                answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
            except ResponseError as error:
                if not str(error).startswith(FULL_DISK):
                    raise
                answer = (b"pong",)
            self._unanswered = 0
            act = hear.get(answer[0])
            if act is not None:
                act(answer)

    async def _ping(self, connection: AbstractConnection) -> None:
        while self._unanswered < UNANSWERED:
            self._unanswered += 1
            # A peer that does not even read takes nothing more at some time.
            async with asyncio.timeout(UNANSWERED * PING_S):
                await connection.send_command("PING")
            await asyncio.sleep(PING_S)

    async def _wear_out(self) -> None:
        await self._worn.wait()

    # ── what it hears ────────────────────────────────────────────────────────────────────────────

    def _deliver(self, answer: Sequence[Any]) -> None:
        channel = self.channels.get(answer[1])
        if channel is not None:
            channel.tell(answer[2])

    def _confirm(self, answer: Sequence[Any]) -> None:
        channel = self.channels.get(answer[1])
        if channel is None:
            return
        # An earlier yes says nothing where an unsubscription was sent after it.
        channel.unconfirmed -= 1
        if channel.unconfirmed or not channel.asked:
            return
        if channel.sure.is_set():
            channel.tell(None)
        channel.sure.set()

    def _release(self, answer: Sequence[Any]) -> None:
        channel = self.channels.get(answer[1])
        if channel is None:
            return
        if channel.asked and not channel.unconfirmed:
            # Not by our wish: the channel's slot has moved to another node.
            raise ConnectionResetError
        self._forget_unwanted(channel)

    def _forget_unwanted(self, channel: Channel) -> None:
        if not (channel.receivers or channel.asked or channel.unconfirmed):
            self.channels.pop(channel.name, None)

    # ── what it says ─────────────────────────────────────────────────────────────────────────────

    async def _tell_changes(self, connection: AbstractConnection) -> None:
        while True:
            await self._change.wait()
            self._change.clear()
            names, self._changed = list(self._changed), {}
            channels = [self.channels[name] for name in names if name in self.channels]
            wanted = [each for each in channels if each.receivers and (each.anew or not each.asked)]
            unwanted = [each for each in channels if each.asked and not each.receivers]
            for channel in unwanted:
                channel.asked = False
                channel.sure.clear()
            for channel in wanted:
                channel.asked, channel.anew = True, False
                channel.unconfirmed += 1
            for verb, those in ((self._unsubscribe, unwanted), (self._subscribe, wanted)):
                for page in self._pages([channel.name for channel in those]):
                    await connection.send_command(verb, *page)

    def _pages(self, names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """What one command may carry: not too much, and in a Cluster what shares a slot."""
        groups: dict[bytes, list[bytes]] = {}
        for name in names:
            tag = name.partition(b"}")[0] if self._sharded else b""
            groups.setdefault(tag, []).append(name)
        for group in groups.values():
            for begin in range(0, len(group), CHANNELS_AT_ONCE):
                yield group[begin : begin + CHANNELS_AT_ONCE]


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Nothing is heard any more; readiness says so too."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _tell("listening to Redis ended", error)


def _tell(what: str, error: BaseException) -> None:
    context = {"message": what, "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
