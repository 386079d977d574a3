"""A TCP proxy that a test holds in its hand: one link, as bad as the test wants it at the moment.

async with chaos(server.port) as link:
    url = f"redis://127.0.0.1:{link.port}"
    link.silence()
    link.heal()

It lives in the test's loop, so a test that blocks the loop has everybody wait.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tests.support.services import free_port

LOOPBACK = "127.0.0.1"
PIECE = 65_536
QUIET_S = 0.02  # after so long without news, a filter gives out what it has held back


class How(Enum):
    """How a connection goes."""

    FIN = "fin"
    RST = "rst"
    SILENCE = "silence"


class Filter(Protocol):
    """What becomes of one connection's bytes on their way."""

    def feed(self, data: bytes) -> bytes:
        """What goes on now."""

    def rest(self) -> bytes:
        """What was held back: nothing more has come for a while."""


@dataclass
class Way:
    """What one direction of a link does to bytes. 0 and None: nothing."""

    latency_s: float = 0.0  # of each piece, one after the other
    bytes_per_s: float = 0.0
    piece: int = PIECE  # the most that goes at once
    corrupt_after: int | None = None  # so many bytes later one has its bits turned
    cut_after: int | None = None  # so many bytes later their connection is reset
    filter: Callable[[], Filter] | None = None  # of connections that are made from now on

    async def hold(self, data: bytes) -> None:
        """As long as the data takes."""
        wait = self.latency_s + (len(data) / self.bytes_per_s if self.bytes_per_s else 0.0)
        if wait:
            await asyncio.sleep(wait)

    def spoil(self, data: bytes) -> bytes:
        """One wrong byte, when its time has come."""
        at = self.corrupt_after
        if at is None:
            return data
        if at >= len(data):
            self.corrupt_after = at - len(data)
            return data
        self.corrupt_after = None
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]

    def passing(self, data: bytes) -> tuple[bytes, bool]:
        """What of it passes, and whether the connection goes then."""
        if self.cut_after is None or len(data) < self.cut_after:
            if self.cut_after is not None:
                self.cut_after -= len(data)
            return data, False
        data, self.cut_after = data[: self.cut_after], None
        return data, True


class Link:
    """From whoever connects to `port`, `up` to the server, and `down` from there."""

    def __init__(self, target: int) -> None:
        self.target = target  # of connections that are made from now on
        self.port = 0
        self.up, self.down = Way(), Way()
        self.cuts = 0  # connections that faults of ours ended
        self._listener: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._mark: tuple[bytes, bool] | None = None

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._lines)

    async def open(self) -> None:
        """Take connections, on the port of before if there was one."""
        self._listener = await asyncio.start_server(self._take, LOOPBACK, self.port or free_port())
        self.port = self._listener.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Take no new connection until `open`."""
        if self._listener is not None:
            self._listener.close()

    def silence(self) -> None:
        """Take everything, forward nothing, and close nothing."""
        self._flows.clear()

    def heal(self) -> None:
        """No more faults; what silence has held back goes on."""
        self.up, self.down = Way(), Way()
        self._mark = None
        self._flows.set()

    def cut(self, how: How = How.RST) -> None:
        """End the connections of now."""
        for line in list(self._lines):
            self.cuts += 1
            line.end(how)

    def cut_at(self, mark: bytes, *, arrived: bool) -> None:
        """Reset the next connection on which this goes up.

        If it `arrived` the server has acted on it, and its reply is what is lost.
        """
        self._mark = mark, arrived

    async def close(self) -> None:
        """Leave nothing behind."""
        self.refuse()
        tasks = [task for line in self._lines for task in line.tasks]
        for line in list(self._lines):
            line.end(How.RST)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    async def _take(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        line = _Line(near)
        self._lines.add(line)
        line.tasks.append(asyncio.current_task())  # type: ignore[arg-type] # a coroutine is in one
        try:
            await self._flows.wait()
            answers, line.far = await asyncio.open_connection(LOOPBACK, self.target)
            line.tasks.append(asyncio.create_task(self._pump(line, answers, near, upward=False)))
            await self._pump(line, reader, line.far, upward=True)
            await line.tasks[1]
        except OSError:
            line.end(How.RST)
        finally:
            line.end(How.FIN)
            self._lines.discard(line)

    async def _pump(
        self,
        line: "_Line",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        upward: bool,
    ) -> None:
        way = self.up if upward else self.down
        filtered = way.filter() if way.filter is not None else None
        with suppress(OSError):
            while data := await _next(reader, way.piece, filtered):
                await self._flows.wait()
                way = self.up if upward else self.down
                await way.hold(data)
                if not upward and line.doomed:
                    return self._fell(line)
                data, last = way.passing(way.spoil(data))
                if upward and self._spotted(line, data):
                    return self._fell(line)
                writer.write(data)
                await writer.drain()
                if last:
                    return self._fell(line)
            writer.write_eof()
            return None
        return line.end(How.RST)

    def _spotted(self, line: "_Line", data: bytes) -> bool:
        if self._mark is None or self._mark[0] not in data:
            return False
        (_, arrived), self._mark = self._mark, None
        line.doomed = arrived
        return not arrived

    def _fell(self, line: "_Line") -> None:
        self.cuts += 1
        line.end(How.RST)


class _Line:
    """One connection through a link: the sockets at both ends of it."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.doomed = False  # it goes as soon as the server says a word
        self.tasks: list[asyncio.Task[None]] = []

    def end(self, how: How) -> None:
        """Close both ends."""
        for writer in (self.near, self.far):
            if writer is None or writer.transport.is_closing():
                continue
            if how is How.RST:
                reset(writer.transport)
            else:
                writer.close()


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection with RST: what was sent and not read is lost too."""
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.WriteTransport)
    transport.abort()


@asynccontextmanager
async def chaos(target: int) -> AsyncIterator[Link]:
    """A link to that port, without a fault yet."""
    link = Link(target)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


async def _next(reader: asyncio.StreamReader, most: int, filtered: Filter | None) -> bytes:
    """The next bytes to go on; none at the end."""
    if filtered is None:
        return await reader.read(most)
    while True:
        try:
            async with asyncio.timeout(QUIET_S):
                data = await reader.read(most)
        except TimeoutError:
            data = filtered.rest()
        else:
            if not data:
                return b""
            data = filtered.feed(data)
        if data:
            return data
