"""Frames on their way to one socket: written at once while it reads, else kept, bounded.

A reader that falls behind gets its chunks folded into bigger ones: text concatenates, so nothing is
lost. Each is folded as it comes and made into bytes only when the reader takes it: hundreds may
stop at the same moment, and nobody else is slowed. Past the bound of live frames the socket is to
be closed; it comes back and resumes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from protocol.codec import Codec
from protocol.folding import Fold, fold
from protocol.frames.from_server import ServerFrame
from server.net.framing import framed
from server.net.wire import Wire
from server.streams.entry import Shared
from server.ws.options import Options

Item: TypeAlias = ServerFrame | Shared


class Outbox:
    """One socket's. `overflow` is called once, when the bound is passed."""

    def __init__(
        self, wire: Wire, codec: Codec, options: Options, overflow: Callable[[], None]
    ) -> None:
        self.codec = codec
        self.frames = 0
        self.bytes = 0
        self._wire = wire
        self._limit = options.outbox_bytes
        self._most = options.waiting_bytes
        self._overflow = overflow
        # What waits, oldest first, with how much of it counts as live: nothing, or all of it.
        self._waiting: deque[tuple[bytes | Fold, int]] = deque()
        self._last: Fold | None = None  # of these, if it may grow
        self._live_bytes = 0
        self._other_bytes = 0  # of snapshots and answers
        self._relief: asyncio.Event | None = None  # for who waits until these are read
        self._over = False

    def __repr__(self) -> str:
        """Show how much waits."""
        return f"<Outbox waiting={len(self._waiting)} live_bytes={self._live_bytes}>"

    @property
    def has_room(self) -> bool:
        """Whether more may be fetched for this reader."""
        return self._other_bytes < self._limit

    async def relieved(self) -> None:
        """Wait until there is room, or the socket closes."""
        while not self.has_room:
            self._relief = self._relief or asyncio.Event()
            await self._relief.wait()

    def send(self, frame: ServerFrame) -> None:
        """Send a frame that is this socket's alone."""
        if self._over:
            return
        self._put(self._framed(frame))

    def missed(self, frames: Iterable[Item]) -> None:
        """Send what brings the socket level, folded; it does not count as live."""
        for frame in fold(frames):
            if self._over:
                return
            self._put(self._framed(frame))

    def share(self, entries: Sequence[Shared]) -> None:
        """Send live entries, with the same bytes as everybody else's."""
        if self._over:
            return
        for entry in entries:
            if not self._waiting and self._wire.writable:
                self._write(entry.framed(self.codec))
            else:
                self._keep(entry)
        if self._live_bytes > self._limit:
            self._give_up()

    def flush(self) -> None:
        """The wire takes bytes again."""
        while self._waiting and self._wire.writable:
            ready, live = self._waiting.popleft()
            if isinstance(ready, Fold):
                ready = self._framed(ready.frame())
            elif not live:
                self._other_bytes -= len(ready)
            self._live_bytes -= live
            self._write(ready)
        if not self._waiting:
            self._last = None
        self._relieve()

    def end(self) -> None:
        """The socket is closing: what waits is dropped, and what comes."""
        self._over = True
        self._waiting.clear()
        self._last = None
        self._live_bytes = self._other_bytes = 0
        self._relieve()

    def _keep(self, entry: Shared) -> None:
        """Let it wait; as a part of the last that waits, if it goes on there."""
        piece = entry.piece()
        ready: bytes | Fold
        if piece is not None and self._last is not None and self._last.take(piece):
            _, live = self._waiting.pop()
            ready, added = self._last, piece.size
        else:
            # The bytes are everybody's: those who wait for the same keep them once.
            ready, live = entry.framed(self.codec), 0
            self._last = None if piece is None else Fold(piece)
            added = len(ready)
        self._waiting.append((ready, live + added))
        self._live_bytes += added

    def _put(self, ready: bytes) -> None:
        if not self._waiting and self._wire.writable:
            self._write(ready)
            return
        self._waiting.append((ready, 0))
        self._last = None
        self._other_bytes += len(ready)
        if self._other_bytes > self._most:
            self._give_up()

    def _give_up(self) -> None:
        self.end()  # at once: it may be closed only when others had their turn
        self._overflow()

    def _relieve(self) -> None:
        if self._relief is not None and self.has_room:
            self._relief.set()
            self._relief = None

    def _write(self, ready: bytes) -> None:
        self.frames += 1
        self.bytes += len(ready)
        self._wire.write(ready)

    def _framed(self, frame: Item) -> bytes:
        if isinstance(frame, Shared):
            return frame.framed(self.codec)
        return framed(self.codec.encode(frame), binary=self.codec.binary)
