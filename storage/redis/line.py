"""A connection to one server of Redis that only listens.

Channels are wanted or not; the line sees to it that the server knows, also after a cut. Who listens
is told `None` when something may have been missed. A connection that answers no pings is given up,
for a peer that vanished without a word stays silent for ever.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

PING_S = 1.0
UNANSWERED = 2  # pings in a row, then the line is dead
PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0  # before it is connected again
CHANNELS_AT_ONCE = 1000

# What is done with a message, neither blocking nor raising; `None`: some may have been missed.
Receiver: TypeAlias = Callable[[bytes | None], None]


class Channel:
    """Who listens to one channel, and how far the server knows of it."""

    __slots__ = ("asked", "name", "receivers", "sure", "unconfirmed")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.receivers: list[Receiver] = []
        self.asked = False  # the server was told to send what comes there
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
        """`cut` is awaited after the connection was lost, before the next try; it may raise."""
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
        self._unanswered = 0
        self._task: asyncio.Task[None] | None = None

    def want(self, name: bytes, receivers: Sequence[Receiver], *, missed: bool = False) -> Channel:
        """Hand what comes on a channel to these too, from when it is `sure`.

        `missed`: they listened elsewhere before, so what came meanwhile was not heard.
        """
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        if missed:
            channel.sure.set()
        channel.receivers += receivers
        self._note(name)
        return channel

    def leave(self, name: bytes, receiver: Receiver) -> None:
        """The receiver wants no more."""
        channel = self.channels[name]
        channel.receivers.remove(receiver)
        if not channel.receivers:
            self._note(name)

    def again(self, name: bytes) -> None:
        """Tell the server once more that the channel is wanted: it seems to have forgotten."""
        channel = self.channels[name]
        channel.asked = False
        self._note(name)

    def give_up(self, name: bytes) -> list[Receiver]:
        """The channel is heard elsewhere from now on: by whom. Only while it is cut."""
        return self.channels.pop(name).receivers

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    def _note(self, name: bytes) -> None:
        self._changed[name] = None
        self._change.set()
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name="redis subscriptions")
            self._task.add_done_callback(_tell_failure)

    async def _live(self) -> None:
        pause_s = PAUSE_S
        while True:
            connection: AbstractConnection | None = None
            with suppress(RedisError, OSError, TimeoutError):
                connection = await self._connect()
            if connection is not None:
                pause_s = PAUSE_S
                await self._listen(connection)
            await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            with suppress(RedisError, OSError, TimeoutError):
                await self._on_cut(self)

    async def _listen(self, connection: AbstractConnection) -> None:
        """Until the connection is lost."""
        self._unanswered = 0
        for channel in self.channels.values():
            self._changed[channel.name] = None
        self._change.set()
        works = (self._read(connection), self._tell_changes(connection), self._ping(connection))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)
            for channel in list(self.channels.values()):
                channel.asked, channel.unconfirmed = False, 0
                self._forget_unwanted(channel)

    async def _read(self, connection: AbstractConnection) -> None:
        hear = self._hear
        while True:
            answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
            self._unanswered = 0
            act = hear.get(answer[0])
            if act is not None:
                act(answer)

    async def _ping(self, connection: AbstractConnection) -> None:
        while self._unanswered < UNANSWERED:
            self._unanswered += 1
            await connection.send_command("PING")
            await asyncio.sleep(PING_S)

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
            wanted = [each for each in channels if each.receivers and not each.asked]
            unwanted = [each for each in channels if each.asked and not each.receivers]
            for channel in unwanted:
                channel.asked = False
                channel.sure.clear()
            for channel in wanted:
                channel.asked = True
                channel.unconfirmed += 1
            await self._send(connection, self._unsubscribe, unwanted)
            await self._send(connection, self._subscribe, wanted)

    async def _send(
        self, connection: AbstractConnection, verb: str, channels: Sequence[Channel]
    ) -> None:
        # Channels of one sharded command must share a slot; theirs may be as many as they are.
        size = 1 if self._sharded else CHANNELS_AT_ONCE
        names = [channel.name for channel in channels]
        pages: list[list[str | bytes]] = [
            [verb, *names[begin : begin + size]] for begin in range(0, len(names), size)
        ]
        for begin in range(0, len(pages), CHANNELS_AT_ONCE):
            packed = connection.pack_commands(pages[begin : begin + CHANNELS_AT_ONCE])
            await connection.send_packed_command(packed)


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Nothing is heard any more; readiness says so too."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "listening to Redis ended", "exception": error}
        task.get_loop().call_exception_handler(context)
