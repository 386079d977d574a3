"""A WebSocket from its handshake on: ASGI for the application, `Wire` for what drives it directly.

Made so that an idle socket is small and a hostile one cannot make itself big.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from struct import pack

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.utils import accept_key

from protocol.codes import CloseCode, ErrorCode
from protocol.limits import GREETING_FRAME_BYTES
from server.errors import ChatError, internal
from server.net.ending import answer, half_close, refusal
from server.net.framing import framed, pinged
from server.net.inbox import Inbox
from server.net.options import Options
from server.net.reading import Pong, Reader
from server.net.selector import Selector, number_of

# Of what comes before the upgrade is answered, which may take seconds, and nobody is known yet; a
# bold client sends `hello`.
EARLY_BYTES = 2 * GREETING_FRAME_BYTES

_log = logging.getLogger(__name__)


class State(Enum):
    """How far the connection is."""

    ASKED = "asked"  # the application has not decided on the upgrade yet
    DENYING = "denying"  # it has begun an HTTP response in its place
    OPEN = "open"
    CLOSING = "closing"  # our close frame is on its way, the peer's is awaited
    LEAVING = "leaving"  # all is said, nothing is listened to, the peer is to hang up
    LOST = "lost"


class WebSocket(asyncio.Protocol):
    """One WebSocket; it is the `Wire` of its scope."""

    __slots__ = (
        *("_early", "_inbox", "_key", "_loop", "_options", "_peer", "_ping"),
        *("_pings", "_pong", "_reader", "_response", "_room", "_scope", "_selector", "_server"),
        *("_state", "_timer", "on_pong", "on_writable", "transport", "writable"),
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        server: ServerState,
        options: Options,
        selector: Selector | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.transport = transport
        self._server = server
        self._options = options
        self._selector = selector
        self._loop = loop
        self._state = State.ASKED
        self._inbox = Inbox()
        self._reader = Reader(options)
        # Until the upgrade: the handshake, what came before its answer, a refusal in pieces.
        self._scope: Scope = {}
        self._key = ""
        self._early = b""
        self._response: Message = {}
        # What our latest ping carries, and the pong that waits for room.
        self._pings = 0
        self._ping = b""
        self._pong = b""
        self._room: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._peer = ""
        self.writable = False
        self.on_writable: Callable[[], None] | None = None
        self.on_pong: Callable[[], None] | None = None

    # The handshake

    def begin(self, app: ASGIApp, scope: Scope, key: str) -> None:
        """Let the application decide on the upgrade; `key` is the handshake's."""
        self._scope = scope
        self._key = key
        self._server.connections.add(self)  # type: ignore[arg-type]  # typed as uvicorn's own
        task = self._loop.create_task(self._run(app))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:  # noqa: BLE001 - the root of the socket's task
            _log.exception("The application failed on a WebSocket.")
        finally:
            self.close(CloseCode.INTERNAL_ERROR)

    def _accept(self, message: Message) -> None:
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"upgrade: websocket",
            b"connection: Upgrade",
            b"sec-websocket-accept: " + accept_key(self._key).encode(),
        ]
        if subprotocol := message.get("subprotocol"):
            lines.append(b"sec-websocket-protocol: " + subprotocol.encode())
        lines += [b"%b: %b" % header for header in message.get("headers", ())]
        # Whatever can fail stands before the 101: behind it there is no way to say so.
        self.transport.set_write_buffer_limits(
            self._options.high_water_bytes, self._options.low_water_bytes
        )
        self.transport.write(b"\r\n".join([*lines, b"", b""]))
        self._peer, self._scope, self._key = self.peer, {}, ""
        self._state = State.OPEN
        self.writable = True
        early, self._early = self._early, b""
        self.transport.resume_reading()
        if early:
            self.data_received(early)

    def _refuse(self, error: ChatError) -> None:
        self._deny(refusal(error, self.peer))

    def _deny(self, response: bytes) -> None:
        self.transport.write(response)
        half_close(self.transport)
        self._end(CloseCode.ABNORMAL)

    def _continue_denial(self, message: Message) -> None:
        response = self._response
        response["body"] += message.get("body", b"")
        if not message.get("more_body", False):
            self._deny(answer(response["status"], response.get("headers", ()), response["body"]))

    # ASGI

    async def receive(self) -> Message:
        """The client's next message; after its last one, that it is gone."""
        event = await self._inbox.get()
        if self._inbox.empty and self._state is State.OPEN:
            self.transport.resume_reading()
        return event

    async def send(self, message: Message) -> None:
        """Decide on the upgrade, send a message and wait for room for more, or close."""
        match self._state, message["type"]:
            case State.OPEN, "websocket.send":
                await self._send(message)
            case State.OPEN, "websocket.close":
                self.close(message.get("code", CloseCode.NORMAL))
            case State.ASKED, "websocket.accept":
                self._accept(message)
            case State.ASKED, "websocket.close":
                self._refuse(ChatError(ErrorCode.FORBIDDEN, "There is no entry here."))
            case State.ASKED, "websocket.http.response.start":
                self._response = {**message, "body": b""}
                self._state = State.DENYING
            case State.DENYING, "websocket.http.response.body":
                self._continue_denial(message)
            case ((State.CLOSING | State.LEAVING | State.LOST), _):
                raise ClientDisconnected
            case state, kind:
                raise RuntimeError(f"{kind} is not legal while a WebSocket is {state.value}")

    async def _send(self, message: Message) -> None:
        text = message.get("text")
        payload = message["bytes"] if text is None else text.encode()
        self.transport.write(framed(payload, binary=text is None))
        if not self.writable:
            self._room = self._room or self._loop.create_future()
            await asyncio.shield(self._room)

    # The wire

    @property
    def peer(self) -> str:
        """The client's address; a trusted proxy's word on it reaches the scope before the app."""
        client = self._scope.get("client")
        return client[0] if client else self._peer

    def write(self, framed: bytes) -> None:
        """Send whole frames."""
        if self._state is State.OPEN:
            self.transport.write(framed)

    def ping(self) -> None:
        """Send a ping; from now on only its own pong counts."""
        self._pings += 1
        self._ping = pack("!Q", self._pings)
        self.write(pinged(self._ping))

    def close(self, code: int) -> None:
        """Send a close frame and wait a while for the peer's; before the upgrade, refuse that."""
        if self._state in (State.ASKED, State.DENYING):
            self._refuse(internal())
        if self._state is not State.OPEN:
            return
        self._reader.close(CloseCode(code))
        self.transport.write(b"".join(self._reader.replies()))
        self._state = State.CLOSING
        self.writable = False
        self._wake_sender()
        self._inbox.drop()
        self._inbox.end(code)
        self.transport.resume_reading()
        self._timer = self._loop.call_later(self._options.close_s, self.abort)

    def abort(self) -> None:
        """Hang up now."""
        self.transport.abort()

    def shutdown(self) -> None:
        """The server ends; it says so to every connection."""
        if self._state is State.ASKED:
            words = "The server is shutting down; connect again."
            self._refuse(ChatError(ErrorCode.UNAVAILABLE, words))
        self.close(CloseCode.RESTART)

    # The transport

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent; before the upgrade, only keep it."""
        if self._state in (State.OPEN, State.CLOSING):
            self._read(data)
        elif self._state is State.ASKED:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.transport.pause_reading()

    def eof_received(self) -> None:
        """The peer sends nothing more; the transport closes itself once it has flushed."""
        self._end(CloseCode.ABNORMAL)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._selector is not None:
            self._selector.forget_client(number_of(self.transport))
        if self._state is not State.LEAVING:
            self._leave(CloseCode.ABNORMAL)
        self._state = State.LOST
        self.on_writable = self.on_pong = None
        if self._timer is not None:
            self._timer.cancel()
        self._server.connections.discard(self)

    def pause_writing(self) -> None:
        """The transport holds more than the high-water mark."""
        self.writable = False

    def resume_writing(self) -> None:
        """It holds less than the low-water mark again."""
        if self._state is not State.OPEN:
            return
        self.writable = True
        if self._pong:
            self.transport.write(self._pong)
            self._pong = b""
        self._wake_sender()
        if self.on_writable is not None:
            self.on_writable()

    def _read(self, data: bytes) -> None:
        for event in self._reader.read(data, self._loop.time()):
            if self._state is not State.OPEN:
                break  # after our close nobody listens
            if isinstance(event, Pong):
                self._ponged(event.payload)
            else:
                self._inbox.put(event)
        if self._inbox.full and self._state is State.OPEN:
            self.transport.pause_reading()
        replies = self._reader.replies()
        if self._reader.ended:
            self.transport.write(b"".join(replies))
            half_close(self.transport)
            self._end(self._reader.code)
        elif replies and self.writable:
            self.transport.write(b"".join(replies))
        elif replies:
            # Pings whose pongs are not read would pile these up; the newest one answers for all
            # (RFC 6455, 5.5.3).
            self._pong = replies[-1]

    def _ponged(self, payload: bytes) -> None:
        if self._ping and payload == self._ping:
            self._ping = b""
            if self.on_pong is not None:
                self.on_pong()

    def _end(self, code: int) -> None:
        """Nothing is sent or taken any more; what the peer does not take in time is dropped."""
        if self._state in (State.LEAVING, State.LOST):
            return
        self._state = State.LEAVING
        self._leave(code)
        if self._timer is None:
            self._timer = self._loop.call_later(self._options.close_s, self.abort)

    def _leave(self, code: int) -> None:
        self.writable = False
        self._wake_sender()
        self._inbox.end(code)

    def _wake_sender(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None
