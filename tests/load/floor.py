"""The floor: a server that does nothing but hand ready frames to the kernel, one write for each.

It speaks as much of the protocol as the generator needs to hear: `welcome` to `hello`, and to every
`chat` so many chunks and a `complete`.
"""

import asyncio
import base64
import hashlib
import socket
import sys
from pathlib import Path

from server.net.framing import framed

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TOKEN = (  # of the size that `numbers.md` has, about 78 bytes
    b'{"seq":12345,"type":"chunk","answer":"m_01m7xzvvq5","offset":1200,"text":" token"}'
)


class Floor(asyncio.Protocol):
    """One socket of the floor."""

    def __init__(self, tokens: int, *, turns: bool = False) -> None:
        """`turns`: each write comes in a turn of the event loop of its own, as a model's would."""
        self._tokens = tokens
        self._turns = turns
        self._left = 0
        self._paused = False
        self._rest = b""
        self._upgraded = False
        self._token = framed(_TOKEN, binary=False)
        self._welcome = framed(b'{"type":"welcome"}', binary=False)
        self._complete = framed(b'{"type":"complete","outcome":"complete"}', binary=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(0)  # what waits would leave in one write
        self._transport = transport

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._left:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._upgrade(head)
        while len(data) >= 6:
            size, start = data[1] & 0x7F, 6
            if size == 126:
                size, start = int.from_bytes(data[2:4]), 8
            if len(data) < start + size:
                break
            self._answer(data[0], data[start : start + size])
            data = data[start + size :]
        self._rest = data

    def _upgrade(self, head: bytes) -> None:
        self._upgraded = True
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        digest = hashlib.sha1((headers["sec-websocket-key"] + _GUID).encode()).digest()
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def _answer(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x88:
            self._transport.close()
        elif b'"hello"' in payload:
            self._transport.write(self._welcome)
        elif b'"chat"' in payload:
            self._left = self._tokens
            self._go_on()

    def _go_on(self) -> None:
        while self._left and not self._paused:
            self._left -= 1
            self._transport.write(self._token)
            if not self._left:
                self._transport.write(self._complete)
            elif self._turns:
                asyncio.get_running_loop().call_soon(self._go_on)
                return


async def serve(tokens: int, listener: socket.socket, *, turns: bool) -> None:
    """Serve until the process is killed."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Floor(tokens, turns=turns), sock=listener, backlog=1024
    )
    await server.serve_forever()


def main(announcement: str, tokens: str, *turns: str) -> None:
    """Serve on a free port, which that file will hold."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    Path(announcement).write_text(str(listener.getsockname()[1]))
    asyncio.run(serve(int(tokens), listener, turns=bool(turns)))


if __name__ == "__main__":
    main(*sys.argv[1:])
