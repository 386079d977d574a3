"""The sockets of this instance, by whose they are."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from protocol.codes import CloseCode
from protocol.frames.from_server import ServerFrame
from protocol.types import GoawayReason
from server.telemetry.logs import get_logger
from storage.values import Owner

# `hello` is due on the dot; a heartbeat may be a second late.
UNGREETED_TICK_S = 0.25
TICKS_PER_LOOK = 4

_log = get_logger()


class Socket(Protocol):
    """A connection, as the registry needs it; none of its methods may block or raise."""

    due: float  # when `tick` has something to do

    def tick(self, now: float) -> None:
        """Do what is due."""

    def send(self, frame: ServerFrame) -> None:
        """Send a frame outside any answer."""

    def close(self, code: CloseCode) -> None:
        """End it."""

    def check(self) -> None:
        """End it if its credentials were voided."""

    def go_away(self, reason: GoawayReason, reconnect_after_ms: int) -> None:
        """Ask the client to move on."""


class Registry:
    """Sockets from their upgrade to their end. One that is not greeted yet is nobody's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ungreeted: dict[Socket, None] = {}
        self._greeted: dict[Socket, Owner] = {}
        self._of: dict[Owner, dict[Socket, None]] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ungreeted) + len(self._greeted)

    def __iter__(self) -> Iterator[Socket]:
        return iter([*self._ungreeted, *self._greeted])

    def open(self, socket: Socket) -> None:
        """It was upgraded."""
        self._ungreeted[socket] = None

    def greet(self, socket: Socket, owner: Owner) -> None:
        """It is that person's; a visitor's socket may become a user's."""
        if socket not in self:
            return
        self._forget_owner(socket)
        self._ungreeted.pop(socket, None)
        self._greeted[socket] = owner
        self._of.setdefault(owner, {})[socket] = None

    def __contains__(self, socket: object) -> bool:
        return socket in self._ungreeted or socket in self._greeted

    def closed(self, socket: Socket) -> None:
        """It is gone."""
        self._forget_owner(socket)
        self._ungreeted.pop(socket, None)
        self._greeted.pop(socket, None)
        self._changed.set()

    def of(self, owner: Owner) -> tuple[Socket, ...]:
        """That person's sockets here."""
        return tuple(self._of.get(owner, ()))

    def tell(self, owner: Owner, frame: ServerFrame) -> None:
        """Tell all sockets of a person."""
        for socket in self.of(owner):
            socket.send(frame)

    def kick(self, owner: Owner, code: CloseCode, *, but: Socket | None = None) -> int:
        """End all sockets of a person, or all but one; how many that were."""
        sockets = [socket for socket in self.of(owner) if socket is not but]
        for socket in sockets:
            socket.close(code)
        return len(sockets)

    async def run(self) -> None:
        """Let sockets do what time brings about, until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(UNGREETED_TICK_S)
            looks += 1
            now = self._clock()
            self._tick(self._ungreeted, now)
            if looks % TICKS_PER_LOOK == 0:
                self._tick(self._greeted, now)

    async def gone(self) -> None:
        """Wait until no socket is left."""
        while len(self):
            self._changed.clear()
            await self._changed.wait()

    def _tick(self, sockets: dict[Socket, None] | dict[Socket, Owner], now: float) -> None:
        for socket in [each for each in sockets if each.due <= now]:
            try:
                socket.tick(now)
            except Exception as error:  # noqa: BLE001 - all others' heartbeats depend on this loop
                _log.error("a socket's tick failed", exc_info=error)
                socket.close(CloseCode.INTERNAL_ERROR)

    def _forget_owner(self, socket: Socket) -> None:
        owner = self._greeted.get(socket)
        if owner is not None:
            others = self._of[owner]
            del others[socket]
            if not others:
                del self._of[owner]
