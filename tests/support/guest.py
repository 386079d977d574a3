"""Somebody with a socket at a whole server that runs in this process."""

from collections.abc import Callable
from typing import Any

from protocol.frames.from_server import Chunk, ServerFrame
from server.app import App
from server.auth.keys import OneKey
from server.auth.tokens import Tokens
from server.config import Settings
from tests.support.handshake import Handshake
from tests.support.waiting import until


class Guest:
    """Somebody with a socket."""

    def __init__(
        self, app: App, settings: Settings, token: str | None = None, *, query: str = ""
    ) -> None:
        """`token`: another than ann's; empty: none, for a `query` that has a ticket."""
        self.socket = Handshake(app.asgi, query_string=query.encode())
        self._hello = {"token": tokens_of(settings).mint(user="ann", ttl_s=600)}
        if token is not None:
            self._hello = {"token": token} if token else {}

    async def greeted(self) -> "Guest":
        """Once it is welcome."""
        self.socket.say(type="hello", **self._hello)
        await self.one("welcome")
        return self

    async def closed(self) -> int:
        """The code with which it was closed."""
        if self.socket.wire.code is None:
            self.socket.say(type="hello", **self._hello)
        await self.socket.running
        assert self.socket.wire.code is not None
        return self.socket.wire.code

    def frames(self, kind: str) -> list[Any]:
        """What came of one type."""
        return [
            frame
            for frame in self.socket.wire.frames
            if isinstance(frame, ServerFrame) and frame.__struct_config__.tag == kind
        ]

    async def one(self, kind: str, holds: Callable[[Any], object] = lambda _: True) -> Any:
        """The first frame of a type that is as wanted, once it is there."""
        await until(lambda: [frame for frame in self.frames(kind) if holds(frame)])
        return next(frame for frame in self.frames(kind) if holds(frame))

    async def chat(self, content: str, id: str = "m-1", **fields: Any) -> Any:
        """Send a message; its `ack`."""
        self.socket.say(type="chat", id=id, content=content, **fields)
        return await self.one("ack", lambda ack: ack.ref == id)

    def text(self, answer: str) -> str:
        """What it was shown of an answer."""
        chunks = [frame for frame in self.frames("chunk") if isinstance(frame, Chunk)]
        return "".join(chunk.text for chunk in chunks if chunk.answer == answer)


def tokens_of(settings: Settings) -> Tokens:
    """What makes tokens that its server takes."""
    assert settings.jwt_secret is not None
    secret = settings.jwt_secret.encode()
    return Tokens(
        OneKey.of_secret(secret),
        settings.auth,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        secret=secret,
        development=True,
    )
