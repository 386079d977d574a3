"""Frames on their way to one socket: written at once while it reads, else kept, bounded.

A reader that falls behind gets its chunks folded into bigger ones: text concatenates, so nothing is
lost, and nobody else is slowed. Past the bound of live frames the socket is to be closed; it comes
back and resumes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from protocol.codec import Codec
from protocol.folding import fold
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
        self._fold_at = self._fold_every = options.fold_bytes
        self._overflow = overflow
        # What waits, oldest first; live entries are kept as such until they are folded.
        self._waiting: deque[bytes | Item] = deque()
        self._live_bytes = 0
        self._other_bytes = 0  # of snapshots and answers
        self._relief: asyncio.Event | None = None  # for who waits until these are read

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
        self._put(self._framed(frame))

    def missed(self, frames: Iterable[Item]) -> None:
        """Send what brings the socket level, folded; it does not count as live."""
        for frame in fold(frames):
            self._put(self._framed(frame))

    def share(self, entries: Sequence[Shared]) -> None:
        """Send live entries, with the same bytes as everybody else's."""
        for entry in entries:
            if not self._waiting and self._wire.writable:
                self._write(entry.framed(self.codec))
            else:
                self._waiting.append(entry)
                self._live_bytes += len(entry.framed(self.codec))
        if self._live_bytes > self._fold_at:
            self._bound()

    def flush(self) -> None:
        """The wire takes bytes again."""
        if len(self._waiting) > 1:
            self._fold()
        while self._waiting and self._wire.writable:
            item = self._waiting.popleft()
            if isinstance(item, bytes):
                self._other_bytes -= len(item)
                self._write(item)
                continue
            ready = self._framed(item)
            self._live_bytes = max(0, self._live_bytes - len(ready))
            self._write(ready)
        if not self._waiting:
            self._live_bytes = 0
            self._fold_at = self._fold_every
        self._relieve()

    def clear(self) -> None:
        """The socket is closing: what waits is dropped."""
        self._waiting.clear()
        self._live_bytes = self._other_bytes = 0
        self._relieve()

    def _put(self, ready: bytes) -> None:
        if not self._waiting and self._wire.writable:
            self._write(ready)
            return
        self._waiting.append(ready)
        self._other_bytes += len(ready)
        if self._other_bytes > self._most:
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

    def _bound(self) -> None:
        self._fold()
        if self._live_bytes > self._limit:
            self._overflow()
            return
        # Folding again costs as much as waits, so it must have grown by a good part meanwhile.
        self._fold_at = self._live_bytes + self._fold_every

    def _fold(self) -> None:
        """Join adjacent chunks of what waits."""
        items, self._waiting = self._waiting, deque()
        self._live_bytes = 0
        run: list[Item] = []
        for item in items:
            if isinstance(item, bytes):
                self._keep(run)
                run = []
                self._waiting.append(item)
            else:
                run.append(item.foldable() if isinstance(item, Shared) else item)
        self._keep(run)

    def _keep(self, run: list[Item]) -> None:
        for frame in fold(run):
            self._waiting.append(frame)
            self._live_bytes += len(self._framed(frame))
