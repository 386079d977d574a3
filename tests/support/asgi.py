"""An HTTP client that calls an ASGI application directly, without a socket."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

WAIT_S = 10.0  # for what must happen; no test waits for it to pass


class Answer:
    """What came back."""

    def __init__(
        self, status: int, headers: Headers, body: bytes, read: int, *, whole: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.read = read  # pieces of the request's body that the application took
        self.whole = whole  # its end came, without which the server cuts the connection off

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    def error(self) -> tuple[int, str]:
        """The status and the code of an error, whose form is checked on the way."""
        error = self.json()["error"]
        assert {"code", "message", "retryable", "trace"} <= error.keys()
        assert error["trace"] == self.headers["x-request-id"]
        return self.status, error["code"]


class Gone(Exception):
    """The application ended without an answer."""


class Client:
    """Sends requests to an application, from one address."""

    def __init__(self, app: ASGIApp, *, address: str = "127.0.0.1") -> None:
        self.app = app
        self.address = address

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A request without a body."""
        return await self.request("GET", target, headers)

    async def post(
        self, target: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request with a JSON body."""
        sent = {"content-type": "application/json", **(headers or {})}
        return await self.request("POST", target, sent, [msgspec.json.encode(body)])

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: Iterable[bytes] = (),
        *,
        ends: bool = True,
        leaves: bool = False,
    ) -> Answer:
        """Any request. A body that does not end stays open, or `leaves` with the client."""
        exchange = _Exchange(iter(body), ends=ends, leaves=leaves)
        scope = self.scope(method, target, headers)
        async with asyncio.timeout(WAIT_S):
            await self.app(scope, exchange.receive, exchange.send)
        if exchange.status is None:
            raise Gone
        return Answer(
            exchange.status,
            Headers(raw=exchange.headers),
            bytes(exchange.body),
            exchange.read,
            whole=exchange.whole,
        )

    def scope(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None,
    ) -> dict[str, Any]:
        """What a request is to the application."""
        path, _, query = target.partition("?")
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.append(("host", "localhost:8000"))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "client": (self.address, 50_000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }


class _Exchange:
    def __init__(self, body: Iterator[bytes], *, ends: bool, leaves: bool) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.whole = False
        self.read = 0
        self._parts = body
        self._ends = ends
        self._leaves = leaves

    async def receive(self) -> Message:
        await asyncio.sleep(0)  # a real one gives way, too
        part = next(self._parts, None)
        if part is not None:
            self.read += 1
            return {"type": "http.request", "body": part, "more_body": True}
        if self._ends:
            self._ends = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._leaves:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert self.status is None, "answered twice"
            self.status = message["status"]
            self.headers = list(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body", False)
