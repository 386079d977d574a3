"""A client whose every byte is its owner's choice, and which takes whatever comes back apart."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import msgspec

from protocol.codec import JSON, Codec
from tests.support.rawsocket import (
    BINARY,
    CLOSE,
    NO_CLOSE,
    PING,
    PONG,
    TEXT,
    HungUp,
    RawSocket,
    Response,
    masked,
)
from tests.support.vectors import Message, spell

Frame = dict[str, Any]
ANSWERS = frozenset({"welcome", "attached", "ack", "history", "pong", "ok", "error"})
RESTED_S = 20.0  # for an answer to end


class Ended(Exception):
    """The server closed; the code is that of its close frame, 1006 if there was none."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Peer:
    """One socket after its upgrade."""

    def __init__(self, raw: RawSocket, codec: Codec, response: Response) -> None:
        self.raw = raw
        self.codec = codec
        self.response = response
        self.pongs = True

    @classmethod
    async def connect(
        cls,
        port: int,
        codec: Codec = JSON,
        *,
        path: str = "/ws",
        headers: Sequence[str] = (),
        receive_buffer: int | None = None,
    ) -> Self:
        """Upgrade."""
        raw = await RawSocket.connect(port, receive_buffer=receive_buffer)
        named = [f"Sec-WebSocket-Protocol: {codec.subprotocol}", *headers]
        try:
            return cls(raw, codec, await raw.open(path, headers=named))
        except BaseException:
            raw.raw.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.raw.raw.close()

    async def hello(self, token: str | None = None, **fields: Any) -> Frame:
        """Greet, and be welcome."""
        said = {"type": "hello", **fields} | ({"token": token} if token else {})
        await self.send(spell(said, self.codec))
        welcome = await self.answer()
        assert welcome["type"] == "welcome", welcome
        return welcome

    async def send(self, *messages: Message, opcode: str | None = None) -> None:
        """Send messages, in one write."""
        binary = self.codec.binary if opcode is None else opcode == "binary"
        raws = [m.encode() if isinstance(m, str) else m for m in messages]
        await self.raw.send(*[masked(BINARY if binary else TEXT, raw) for raw in raws])

    async def say(self, frame: Frame) -> None:
        """Send a frame."""
        await self.send(spell(frame, self.codec))

    async def frame(self) -> Frame:
        """The next frame; pings are answered on the way, unless `pongs` says otherwise."""
        while True:
            try:
                came = await self.raw.frame()
            except HungUp:
                raise Ended(NO_CLOSE) from None
            if came.opcode == PING:
                if self.pongs:
                    await self.raw.send(masked(PONG, came.payload))
            elif came.opcode == CLOSE:
                with suppress(ConnectionError):
                    await self.raw.send(masked(CLOSE, came.payload[:2]))
                raise Ended(came.code)
            elif came.opcode in (TEXT, BINARY):
                assert (came.opcode == BINARY) is self.codec.binary
                return self._decoded(came.payload)

    async def answer(self) -> Frame:
        """The next frame that answers one of ours."""
        while (frame := await self.frame())["type"] not in ANSWERS:
            pass
        return frame

    async def of_type(self, type: str, **fields: Any) -> Frame:
        """The next frame of that type, with these fields."""
        async with asyncio.timeout(RESTED_S):
            while True:
                frame = await self.frame()
                if frame["type"] == type and fields.items() <= frame.items():
                    return frame

    async def ask(self, frame: Frame) -> Frame:
        """Send a frame whose answer is awaited."""
        await self.say(frame)
        return await self.answer()

    async def ending(self) -> int:
        """The code of the close that comes, whatever comes before it; then nothing may come."""
        try:
            while True:
                await self.frame()
        except Ended as ended:
            return ended.code

    async def is_closed(self) -> bool:
        """Whether the server hangs up, once both sides have closed."""
        try:
            await self.raw.hung_up()
        except TimeoutError:
            return False
        return True

    def _decoded(self, payload: bytes) -> Frame:
        read = msgspec.msgpack.decode if self.codec.binary else json.loads
        frame: Frame = read(payload)
        return frame


async def http(
    port: int,
    method: str,
    path: str,
    *,
    headers: Sequence[str] = (),
    body: object = None,
) -> tuple[int, Any]:
    """A request with a JSON body or none; its status, and the JSON of its answer."""
    content = b"" if body is None else msgspec.json.encode(body)
    kind = [] if body is None else ["Content-Type: application/json"]
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *kind, *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""])
    async with await RawSocket.connect(port) as raw:
        await raw.send(head.encode() + content)
        response = await raw.response()
    return response.status, json.loads(response.body)
