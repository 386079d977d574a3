"""All channels that are listened to here, each at the server where it is heard."""

import asyncio
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection

from storage.errors import Unavailable
from storage.redis.line import Channel, Line, Receiver

# A server's name, for those of one link.
Place = str
NOWHERE: Place = ""  # also where there is only one


class Hearing:
    """One receiver at one channel."""

    def __init__(self, ears: "Ears", name: bytes, receiver: Receiver) -> None:
        self._ears = ears
        self._name = name
        self._receiver: Receiver | None = receiver

    async def sure(self, within_s: float) -> None:
        """Wait until what comes from now on is heard; `Unavailable` if that takes too long."""
        try:
            async with asyncio.timeout(within_s):
                while not (channel := self._ears.channel(self._name)).sure.is_set():
                    await channel.sure.wait()
        except TimeoutError:
            raise Unavailable("Redis did not confirm a subscription") from None

    def again(self) -> None:
        """What came was not heard: subscribe once more."""
        if self._receiver is not None:
            self._ears.again(self._name)

    def close(self) -> None:
        """Hear no more. Closing twice is closing once."""
        if self._receiver is not None:
            self._ears.leave(self._name, self._receiver)
            self._receiver = None


class Ears:
    """What a link listens to."""

    def __init__(
        self,
        place: Callable[[str], Place],
        connect: Callable[[Place], Awaitable[AbstractConnection]],
        look: Callable[[], Awaitable[None]],
        *,
        sharded: bool,
    ) -> None:
        """`look`: learn anew at which place each channel is."""
        self._place = place
        self._connect = connect
        self._look = look
        self._sharded = sharded
        self._lines: dict[Place, Line] = {}
        self._where: dict[bytes, Line] = {}

    def hear(self, name: str, receiver: Receiver) -> Hearing:
        """Hand what comes on a channel to the receiver, from soon on."""
        key = name.encode()
        line = self._where.get(key)
        if line is None:
            line = self._where[key] = self._line(self._place(name))
        line.want(key, receiver)
        return Hearing(self, key, receiver)

    def channel(self, name: bytes) -> Channel:
        """A channel that somebody here listens to."""
        return self._where[name].channels[name]

    def again(self, name: bytes) -> None:
        """See `Hearing.again`."""
        self._where[name].again(name)

    def leave(self, name: bytes, receiver: Receiver) -> None:
        """See `Hearing.close`."""
        if not self._where[name].leave(name, receiver):
            del self._where[name]

    def renew(self) -> None:
        """Connect anew: what answers there may not be what did."""
        for line in self._lines.values():
            line.renew()

    async def close(self) -> None:
        """Listen to nothing any more."""
        while self._lines:  # a line that is being closed may yet hand its channels to a new one
            _, line = self._lines.popitem()
            await line.close()

    def _line(self, place: Place) -> Line:
        line = self._lines.get(place)
        if line is None:
            line = Line(lambda: self._connect(place), self._cut, sharded=self._sharded)
            self._lines[place] = line
        return line

    async def _cut(self, line: Line) -> None:
        """A line was lost: what is at another place now is heard there."""
        await self._look()
        for name in list(line.channels):
            now = self._line(self._place(name.decode()))
            if now is not line and name in self._where:
                self._where[name] = now
                now.take_over(line.channels.pop(name))
