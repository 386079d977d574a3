"""A WebSocket client that tidies nothing: what a test says goes over the wire, and nothing else.

It reads only when it is asked to, so that a test which does not read is a client that does not.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Self

import msgspec
from msgspec import Struct

PATIENCE_S = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # what answers KEY, as in RFC 6455, 1.3

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NO_CLOSE = 1006


class HungUp(Exception):
    """The server's half of the connection ended, or was reset, before what was awaited came."""


class Response(Struct, frozen=True):
    """An HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def error_of(response: Response) -> tuple[int, str]:
    """The status and the code of an error, whose form is checked on the way."""
    error = msgspec.json.decode(response.body)["error"]
    assert {"code", "message", "retryable", "trace"} <= error.keys()
    assert error["trace"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/json"
    return response.status, error["code"]


class Frame(Struct, frozen=True):
    """A frame as the server sent it."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def code(self) -> int:
        """A close frame's; 1005 if it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"abcd") -> bytes:
    """A client's frame; the opcode may be any, and have reserved bits."""
    head = bytes([opcode | (0x80 if fin else 0)])
    length = len(payload)
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += struct.pack("!BH", 0x80 | 126, length)
    else:
        head += struct.pack("!BQ", 0x80 | 127, length)
    stream = (mask * (length // 4 + 1))[:length]
    xored = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + mask + xored.to_bytes(length, "big")


def closing(code: int, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return masked(CLOSE, struct.pack("!H", code) + reason)


def request(
    path: str = "/ws", *, headers: Sequence[str] = (), without: Sequence[str] = ()
) -> bytes:
    """A handshake; `headers` come on top, `without` leaves out those of these names."""
    usual = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    lines = [f"{name}: {value}" for name, value in usual.items() if name not in without]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, *headers, "", ""]).encode("latin-1")


class RawSocket:
    """One TCP connection. Each wait ends with TimeoutError after a while."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._unread = b""

    @classmethod
    async def connect(
        cls, port: int, host: str = "127.0.0.1", *, receive_buffer: int | None = None
    ) -> Self:
        """Connect; with a small receive buffer, to be full soon."""
        raw = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        raw.setblocking(False)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(raw, (host, port))
        except BaseException:
            raw.close()
            raise
        return cls(raw)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.raw.close()

    async def send(self, *pieces: bytes) -> None:
        """Send bytes as they are."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_sendall(self.raw, b"".join(pieces))

    async def open(self, path: str = "/ws", *, headers: Sequence[str] = ()) -> Response:
        """Send a handshake, whose response must be an upgrade."""
        await self.send(request(path, headers=headers))
        response = await self.response()
        assert response.status == 101, response
        return response

    async def response(self) -> Response:
        """The next HTTP response, whose body has a length."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self._take(1)
        status, *lines = head.decode("latin-1").split("\r\n")[:-2]
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        body = await self._take(int(headers.get("content-length", 0)))
        return Response(int(status.split()[1]), headers, body)

    async def frame(self) -> Frame:
        """The next frame, which must not be masked."""
        first, length = await self._take(2)
        assert length < 0x80, "a server masks nothing"
        if length >= 126:
            length = int.from_bytes(await self._take(2 if length == 126 else 8), "big")
        return Frame(first & 0x7F, await self._take(length), first >= 0x80)

    async def text(self) -> str:
        """The next frame, which must be a text."""
        frame = await self.frame()
        assert frame.opcode == TEXT, frame
        return frame.payload.decode()

    async def close_code(self) -> int:
        """The code of the close frame that comes sooner or later; 1006 if none does."""
        try:
            while (frame := await self.frame()).opcode != CLOSE:
                pass
        except HungUp:
            return NO_CLOSE
        return frame.code

    async def hung_up(self) -> bytes:
        """Wait until the server has ended its half; what came before that and nobody read."""
        try:
            while True:
                await self._read_more()
        except HungUp:
            unread, self._unread = self._unread, b""
            return unread

    def stop_sending(self) -> None:
        """End our half."""
        self.raw.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish with a reset."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    async def _take(self, count: int) -> bytes:
        while len(self._unread) < count:
            await self._read_more()
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    async def _read_more(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                came = await asyncio.get_running_loop().sock_recv(self.raw, 65536)
        except ConnectionError:
            came = b""
        if not came:
            raise HungUp
        self._unread += came
