"""A WebSocket's handshake with an ASGI application in this process, and the socket after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from server.net.wire import WIRE
from tests.support.lobby import Wire
from tests.support.waiting import until

JSON = "parley.v1.json"


class Handshake:
    """One handshake, and what it was answered with."""

    def __init__(self, app: Callable[..., Awaitable[None]], **changes: Any) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.wire = Wire(self._inbox)
        self.sent: list[dict[str, Any]] = []
        headers = {"host": "localhost:8000", **changes.pop("headers", {})}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.scope = {
            "type": "websocket",
            "path": "/ws",
            "query_string": b"",
            "subprotocols": [JSON],
            "extensions": {WIRE: self.wire},
            **changes,
            "headers": pairs + changes.pop("more", []),
        }
        self._app = app
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self._app(self.scope, self._inbox.get, self._send)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def say(self, **frame: Any) -> None:
        """A frame of the client."""
        text = msgspec.json.encode(frame).decode()
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    async def leave(self) -> None:
        """The client is gone."""
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.running

    async def accepted(self) -> str | None:
        """The subprotocol that was agreed on."""
        await until(lambda: self.sent)
        [message] = self.sent
        assert message["type"] == "websocket.accept"
        subprotocol: str | None = message["subprotocol"]
        return subprotocol

    async def refused(self) -> tuple[int, str, dict[str, str]]:
        """The status, the error's code and the headers."""
        await self.running
        start, body = self.sent
        assert start["type"] == "websocket.http.response.start"
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        error = msgspec.json.decode(body["body"])["error"]
        assert {"code", "message", "retryable", "trace"} <= error.keys()
        return start["status"], error["code"], headers
