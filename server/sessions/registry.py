"""The sockets of this instance, by whose they are, and what concerns their other ones elsewhere."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from protocol.codes import CloseCode
from protocol.frames.from_server import ServerFrame
from protocol.types import GoawayReason
from server import words
from server.telemetry.logs import get_logger
from server.words import AnyWord, Kick, Look, Pass
from storage.bus import Bus, Listening
from storage.values import Owner

# `hello` is due nearly on the dot; a heartbeat may be more than a second late.
UNGREETED_TICK_S = 0.25
TICKS_PER_LOOK = 4

_log = get_logger()


class Socket(Protocol):
    """A connection, as the registry needs it; none of its methods may block or raise."""

    due: float  # when `tick` has something to do

    def tick(self, now: float, heard_until: float) -> None:
        """Do what is due; what the client sent was read by then."""

    def send(self, frame: ServerFrame) -> None:
        """Send a frame outside any answer."""

    def close(self, code: CloseCode) -> None:
        """End it."""

    def check(self) -> None:
        """End it if its credentials were voided."""

    def go_away(self, reason: GoawayReason, reconnect_after_ms: int) -> None:
        """Ask the client to move on."""


class Registry:
    """Sockets from their upgrade to their end. One that is not greeted yet is nobody's.

    `look` is called when another instance says that somebody's credentials were voided.
    """

    def __init__(self, clock: Callable[[], float], bus: Bus, look: Callable[[], None]) -> None:
        self._clock = clock
        self._bus = bus
        self._look = look
        self._ungreeted: dict[Socket, None] = {}
        self._greeted: dict[Socket, Owner] = {}
        self._of: dict[Owner, dict[Socket, None]] = {}
        self._listening: dict[Owner, Listening] = {}
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
        if socket not in self or self._greeted.get(socket) == owner:
            return
        self._forget_owner(socket)
        self._ungreeted.pop(socket, None)
        self._greeted[socket] = owner
        if owner not in self._of:
            self._of[owner] = {}
            topic = words.to_person(owner)
            self._listening[owner] = words.listen(self._bus, topic, partial(self._hear, owner))
        self._of[owner][socket] = None

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
        """Tell all sockets of a person, wherever they are."""
        self._tell_here(owner, frame)
        words.say(self._bus, words.to_person(owner), words.passed(frame))

    def kick(self, owner: Owner, code: CloseCode, *, but: Socket | None = None) -> None:
        """End all sockets of a person, wherever they are, or all but one."""
        self._kick_here(owner, code, but)
        words.say(self._bus, words.to_person(owner), Kick(code))

    def nudge(self, owner: Owner) -> None:
        """Their credentials were voided: have other instances that hold sockets of theirs look."""
        words.say(self._bus, words.to_person(owner), Look())

    async def run(self) -> None:
        """Let sockets do what time brings about, until cancelled."""
        looks, now = 0, self._clock()
        while True:
            await asyncio.sleep(UNGREETED_TICK_S)
            looks += 1
            # What came while the loop was held has yet to be read: nobody is late since then.
            before, now = now, self._clock()
            self._tick(self._ungreeted, now, before)
            if looks % TICKS_PER_LOOK == 0:
                self._tick(self._greeted, now, before)

    async def gone(self) -> None:
        """Wait until no socket is left."""
        while len(self):
            self._changed.clear()
            await self._changed.wait()

    def _tick(
        self, sockets: dict[Socket, None] | dict[Socket, Owner], now: float, heard_until: float
    ) -> None:
        for socket in [each for each in sockets if each.due <= now]:
            try:
                socket.tick(now, heard_until)
            except Exception as error:  # noqa: BLE001 - all others' heartbeats depend on this loop
                _log.error("a socket's tick failed", exc_info=error)
                socket.close(CloseCode.INTERNAL_ERROR)

    def _hear(self, owner: Owner, word: AnyWord) -> None:
        match word:
            case Pass():
                self._tell_here(owner, word.frame)
            case Kick():
                self._kick_here(owner, word.code)
            case Look():
                self._look()

    def _tell_here(self, owner: Owner, frame: ServerFrame) -> None:
        for socket in self.of(owner):
            socket.send(frame)

    def _kick_here(self, owner: Owner, code: CloseCode, but: Socket | None = None) -> None:
        for socket in self.of(owner):
            if socket is not but:
                socket.close(code)

    def _forget_owner(self, socket: Socket) -> None:
        owner = self._greeted.get(socket)
        if owner is not None:
            others = self._of[owner]
            del others[socket]
            if not others:
                del self._of[owner]
                self._listening.pop(owner).close()
