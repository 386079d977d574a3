"""HTTP up to the application or the upgrade: uvicorn's protocol, with bounds on time and size."""

import asyncio
import re
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.net import handshake
from server.net.ending import half_close, refusal
from server.net.handshake import Handshake
from server.net.options import Options
from server.net.selector import Loop, number_of
from server.net.websocket import WebSocket
from server.net.wire import WIRE, Wire

# Requests of one connection that may wait for the answer to another: one read can bring thousands.
PIPELINED = 8
# What must come of a body each time that `body_s` is over.
BODY_BYTES = 16 * 1024


class Config(uvicorn.Config):
    """uvicorn's configuration, and what bounds our sockets."""

    def __init__(self, app: ASGIApp, options: Options, **rest: Any) -> None:
        super().__init__(app, **rest)
        self.options = options


class Awaited(Enum):
    """What the client owes us within some time."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class Http(HttpToolsProtocol):
    """One connection, as long as it speaks HTTP."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._options = config.options
        self._selector = self.loop.selector if isinstance(self.loop, Loop) else None
        self._awaited = Awaited.HEAD
        self._deadline: asyncio.TimerHandle | None = None
        self._silent = True
        self._unparsed_bytes = 0  # of a head that is not complete
        self._head_bytes = 0  # of the headers that are
        self._body_bytes = 0  # since the deadline was set
        self._handshake: Handshake | None = None
        self._refused = False

    # The transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its first request is due."""
        super().connection_made(transport)
        if self._selector is not None:
            self._selector.add_client(number_of(transport))
        self._await(Awaited.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._selector is not None:
            self._selector.forget_client(number_of(self.transport))
        self._await(Awaited.NOTHING)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, up to an upgrade or to what is refused."""
        if self._refused:
            return
        self._silent = False
        if self._awaited is Awaited.HEAD:
            self._unparsed_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, ChatError) else _malformed())
        else:
            if self._unparsed_bytes > self._options.header_bytes:
                self._refuse(_too_large())

    def _parse(self, data: bytes) -> None:
        """Feed the parser, which stops behind each head that asks for an upgrade, to any protocol.

        What follows is the new protocol's if it is ours, and else the next request.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            if self._handshake is not None:
                self._upgrade(self._handshake, data)
                return

    # The parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._head_bytes = 0
        if self._awaited is not Awaited.HEAD:
            self._await(Awaited.HEAD)

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is complete: ask the application, unless it is an upgrade."""
        self._unparsed_bytes = 0
        version = self.parser.get_http_version()
        if len(self.pipeline) >= PIPELINED or not _is_sound(version, self.url, self.headers):
            raise _malformed()
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self._should_upgrade():
            if self._under_way is not None:
                raise _malformed()  # its answer would fall among the frames
            self._handshake = handshake.read(self.parser.get_method(), version, self.headers)
            self._name_path()
        else:
            # Behind such a head the parser reads no body: it would be taken for the next request.
            # And CONNECT, which is no request for a resource, always is one.
            if self.parser.get_method() == b"CONNECT" or _has_body(self.headers):
                words = "Neither a tunnel nor another upgrade with a body is taken here."
                raise ChatError(ErrorCode.INVALID_FRAME, words)
            super().on_headers_complete()
        self._await(Awaited.BODY)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It has ended."""
        self._await(Awaited.NOTHING)
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if (
            self._head_bytes > self._options.header_bytes
            or len(self.headers) >= self._options.header_count
        ):
            raise _too_large()

    # Upgrades

    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is among what is asked for, over however many lines of the header."""
        lines = [value for name, value in self.headers if name == b"upgrade"]
        return b"websocket" in [each.strip().lower() for each in b",".join(lines).split(b",")]

    def _name_path(self) -> None:
        url = httptools.parse_url(self.url)
        self.scope["path"] = self.root_path + unquote(url.path.decode("ascii"))
        self.scope["raw_path"] = self.root_path.encode("ascii") + url.path
        self.scope["query_string"] = url.query or b""

    def _upgrade(self, asked: Handshake, early: bytes) -> None:
        """Hand the connection over, with what came behind the head."""
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment]  # each knows the other: free both at once
        socket = WebSocket(
            self.transport, self.server_state, self._options, self._selector, self.loop
        )
        wire: Wire = socket
        scope = {
            **self.scope,
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if self.scheme == "https" else "ws",
            "subprotocols": asked.subprotocols,
            "extensions": {"websocket.http.response": {}, WIRE: wire},
        }
        self.transport.set_protocol(socket)
        socket.begin(self.app, scope, asked.key)
        if early:
            socket.data_received(early)

    # Refusals

    def _await(self, what: Awaited) -> None:
        self._awaited = what
        self._body_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if what is Awaited.HEAD:
            self._deadline = self.loop.call_later(self._options.header_s, self._late)
        elif what is Awaited.BODY:
            self._deadline = self.loop.call_later(self._options.body_s, self._late)

    def _late(self) -> None:
        if self._silent:
            self.transport.close()
        elif self.flow.read_paused or self._body_bytes >= BODY_BYTES:
            self._await(self._awaited)
        else:
            words = f"The request's {self._awaited.value} did not come in time."
            self._refuse(ChatError(ErrorCode.REQUEST_TIMEOUT, words))

    def _refuse(self, error: ChatError) -> None:
        """Answer in the application's place and listen no more."""
        self._refused = True
        if self._is_answered:
            self.transport.close()
        else:
            self.transport.write(refusal(error, self.client[0] if self.client else ""))
            half_close(self.transport)
        if (cycle := self._under_way) is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._await(Awaited.NOTHING)
        self._unset_keepalive_if_required()
        self.loop.call_later(self._options.close_s, self.transport.abort)

    @property
    def _under_way(self) -> RequestResponseCycle | None:
        """The newest request's answer, until it is complete."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return None if cycle is None or cycle.response_complete else cycle

    @property
    def _is_answered(self) -> bool:
        """Whether a refusal would fall into another answer, or follow the request's own."""
        if (cycle := self._under_way) is not None:
            return cycle.response_started or bool(self.pipeline)
        return self._awaited is Awaited.BODY


def _is_sound(version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """What the parser lets pass and a proxy may read otherwise (RFC 9112, 3.2 and 6.1)."""
    hosts = [value.strip(b" \t").lower() for name, value in headers if name == b"host"]
    encodings = [
        value.strip(b" \t").lower() for name, value in headers if name == b"transfer-encoding"
    ]
    if target[:1] not in b"/*" and hosts != [_authority(target).lower()]:
        return False  # 3.2.2: the target's would count, and rules go by Host
    if version == "1.1":
        # The parser looks at the last coding alone, and takes off no other than chunks.
        return len(hosts) == 1 and encodings in ([], [b"chunked"])
    return version == "1.0" and len(hosts) <= 1 and not encodings


def _authority(target: bytes) -> bytes:
    """Of a target in absolute form; with whatever is before an `@`, so that it equals no Host."""
    return re.split(rb"[/?#]", target.partition(b"://")[2], maxsplit=1)[0]


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a body is announced, of which the parser has already checked the length."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0"))
        for name, value in headers
    )


def _malformed() -> ChatError:
    return ChatError(ErrorCode.INVALID_FRAME, "The request is not well-formed HTTP/1.1.")


def _too_large() -> ChatError:
    words = "The request's headers are too many or too large."
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return ChatError(ErrorCode.PAYLOAD_TOO_LARGE, words, status=status)
