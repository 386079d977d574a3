"""A WebSocket client that costs next to nothing: the generator must not be what is measured.

It reads whole frames out of what arrived and gives their payloads to a function. It does not check
what a client would: no fragments, no masks, no close codes.
"""

import asyncio
import base64
import os
import re
from collections.abc import Callable
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Raw, Struct

from protocol.codec import Codec

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)


class Heard(Struct):
    """What the generator looks at in a frame of the server."""

    type: str
    text: str = ""
    ref: str | None = None
    answer: str | None = None
    conversation: Raw = Raw()  # an id, or the whole object
    outcome: str | None = None
    code: str | None = None
    retry_after_ms: int | None = None
    epoch: str | None = None
    seq: int | None = None
    recovered: bool | None = None


class Refused(Exception):
    """The server did not let us in; it may have said when to come again."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Peer(asyncio.Protocol):
    """One socket. `on_frame` gets each payload, `on_lost` hears once of the end."""

    def __init__(self, url: SplitResult, codec: Codec) -> None:
        self.on_frame: Callable[[bytes], None] = _ignored
        self.on_lost: Callable[[], None] | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0  # bytes of frames
        self.closed_with: int | None = None
        self.codec = codec
        self._url = url
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self._encode = msgspec.msgpack.encode if codec.binary else msgspec.json.encode
        decoder = msgspec.msgpack.Decoder if codec.binary else msgspec.json.Decoder
        self.read: Callable[[bytes], Heard] = decoder(Heard).decode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        target = self._url.path + (f"?{self._url.query}" if self._url.query else "")
        transport.write(
            f"GET {target} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {self.codec.subprotocol}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            head, found, data = (self._rest + data).partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._rest = b""
            self._upgrade(head)
        self.received += len(data)
        self._frames(self._rest + data if self._rest else data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(Refused("the connection was closed before the upgrade"))
        if self.on_lost is not None:
            self.on_lost()

    def send(self, frame: dict[str, Any]) -> None:
        """A client's frame; masked, as it must be, with a key that changes nothing."""
        self._write(_BINARY if self.codec.binary else _TEXT, self._encode(frame))

    def close(self) -> None:
        """An orderly end, without waiting for the other side's."""
        self._write(_CLOSE, b"\x03\xe8")
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """As if the machine had gone."""
        if self._transport is not None:
            self._transport.abort()

    def stop_reading(self) -> None:
        """Stay, and take nothing more from the kernel."""
        if self._transport is not None:
            self._transport.pause_reading()

    def _upgrade(self, head: bytes) -> None:
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        self._upgraded = True
        if self.opened.done():
            return
        if " 101" in status:
            self.opened.set_result(None)
        else:
            again = _RETRY_AFTER.search(head)
            self.opened.set_exception(Refused(status, int(again[1]) if again else None))

    def _frames(self, data: bytes) -> None:
        start, end = 0, len(data)
        while end - start >= 2:
            size, body = data[start + 1], start + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                body += width
                if body > end:
                    break
                size = int.from_bytes(data[body - width : body])
            if body + size > end:
                break
            opcode, payload = data[start], data[body : body + size]
            start = body + size
            if opcode in (_TEXT, _BINARY):
                self.on_frame(payload)
            elif opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE:
                self.closed_with = int.from_bytes(payload[:2])
        self._rest = data[start:] if start < end else b""

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((opcode, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((opcode, 0x80 | 126)) + size.to_bytes(2)
        else:
            head = bytes((opcode, 0x80 | 127)) + size.to_bytes(8)
        if self._transport is not None:
            self._transport.write(head + bytes(4) + payload)


def _ignored(_: bytes) -> None:
    pass


async def connect(url: str, codec: Codec) -> Peer:
    """An open socket at `ws://…` or `wss://…`; `Refused` says with which status it was not."""
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    tls: SSLContext | None = create_default_context() if secure else None
    _, peer = await asyncio.get_running_loop().create_connection(
        lambda: Peer(parts, codec),
        parts.hostname or "localhost",
        parts.port or (443 if secure else 80),
        ssl=tls,
    )
    await peer.opened
    return peer


async def greeted(url: str, codec: Codec, token: str | None, *, attach: str | None = None) -> Peer:
    """An open socket that said `hello` and got `welcome` (and `attached`, where it asked)."""
    peer = await connect(url, codec)
    try:
        if attach is None:
            await asked(peer, hello(token), "welcome")
        else:
            await asked(peer, hello(token, {"conversation": attach}), "attached")
    except BaseException:
        peer.abort()
        raise
    return peer


def hello(token: str | None, *attach: dict[str, Any]) -> dict[str, Any]:
    """What a socket says first."""
    frame: dict[str, Any] = {"type": "hello"}
    if token is not None:
        frame["token"] = token
    if attach:
        frame["attach"] = attach
    return frame


async def asked(peer: Peer, frame: dict[str, Any], answer: str) -> Heard:
    """Send a frame that has this answer; what it was, or `Refused` with what came instead."""
    answered: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()

    def refuse(why: str, retry_after_ms: int | None = None) -> None:
        if not answered.done():
            wait_s = None if retry_after_ms is None else retry_after_ms / 1000
            answered.set_exception(Refused(f"`{frame['type']}`: {why}", wait_s))

    def wait(payload: bytes) -> None:
        heard = peer.read(payload)
        if heard.type == "error":
            refuse(str(heard.code), heard.retry_after_ms)
        elif heard.type == answer and not answered.done():
            answered.set_result(heard)

    def lost() -> None:
        refuse(f"the socket was closed with {peer.closed_with or 1006}")

    peer.on_frame, peer.on_lost = wait, lost
    peer.send(frame)
    heard = await answered
    peer.on_frame, peer.on_lost = _ignored, None
    return heard
