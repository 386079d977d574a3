"""One socket's life. It reads always and never waits to send.

The machine of `protocol.session` decides; this does what it says. What a frame asks for is done in
a task that outlives the socket: what was committed is told and run, whoever is gone by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from protocol.codec import Codec, Refusal
from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.session import (
    HELLO_EXCHANGE,
    NO_EXCHANGE,
    Action,
    Close,
    Deliver,
    Probe,
    Send,
    ServerSession,
    State,
    reference,
)
from protocol.types import GoawayReason, rfc3339
from server.auth.principal import Principal
from server.auth.tokens import TokenRefused
from server.errors import ChatError, from_storage, internal
from server.limits.admission import Place
from server.net.wire import Wire
from server.telemetry.lines import ConnectionClosed, token_refused
from server.ws.credentials import Credentials
from server.ws.following import Following
from server.ws.order import Order, Turn
from server.ws.outbox import Outbox
from server.ws.parts import Parts
from server.ws.requests import Requests
from storage.errors import StorageError

Receive = Callable[[], Awaitable[Any]]


class Connection:
    """A socket after its upgrade; `run` it until it ends."""

    def __init__(
        self,
        parts: Parts,
        wire: Wire,
        codec: Codec,
        *,
        name: str,
        place: Place,
        credentials: Credentials,
        trace: str | None = None,
    ) -> None:
        self.due = 0.0
        self._parts = parts
        self._wire = wire
        self._codec = codec
        self._credentials = credentials
        self._name = name
        self._trace = trace or name
        self._place = place
        self._session = ServerSession(trace=self._trace, now=parts.clock(), timing=parts.timing)
        self._outbox = Outbox(wire, codec, parts.options, self._overflow)
        self._following = Following(
            parts.hub, parts.store.history, self._outbox, parts.spawn, self._adrift
        )
        self._order = Order()
        self._requests: Requests | None = None
        # While the store is told, which voids the one before.
        self._becoming: Principal | None = None
        self._client: c.ClientInfo | None = None
        self._began = parts.clock()
        self._frames_in = self._bytes_in = 0
        self._code: int | None = None

    def __repr__(self) -> str:
        """Name it."""
        return f"<Connection {self._name} {self._session.state.value}>"

    async def run(self, receive: Receive) -> None:
        """Read until the end; what is read is acted on at once, and never waited for."""
        wire, session = self._wire, self._session
        wire.on_writable = self._outbox.flush
        wire.on_pong = self._ponged
        self._parts.registry.open(self)
        self.due = session.deadline
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text")
                data = message["bytes"] if text is None else text
                self._frames_in += 1
                self._bytes_in += len(data)
                received = self._codec.decode_client(data, session.frame_cap)
                self._do(session.receive(received, self._parts.clock()))
            self._code = self._code or message.get("code")
        finally:
            self._ended()

    # ── for the registry ─────────────────────────────────────────────────────────────────────────

    def tick(self, now: float, heard_until: float) -> None:
        """Do what is due."""
        self._do(self._session.tick(now, heard_until))

    def send(self, frame: s.ServerFrame) -> None:
        """Send a frame outside any answer."""
        if self._session.state in (State.OPEN, State.DRAINING):
            self._outbox.send(frame)
        if isinstance(frame, s.ConversationsChanged) and frame.change == "deleted":
            self._following.gone(frame.conversation.id)

    def close(self, code: CloseCode) -> None:
        """End it."""
        self._do(self._session.close(code))

    def check(self) -> None:
        """End it if its credentials were voided."""
        principal = self._becoming or (self._requests.principal if self._requests else None)
        if principal is not None:
            self._close_if_void(principal)

    def go_away(self, reason: GoawayReason, reconnect_after_ms: int) -> None:
        """Ask the client to move on."""
        self._do(self._session.drain(reason, reconnect_after_ms))

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._outbox.send(action.frame)
                case Deliver():
                    turn = self._order.turn(action.frame)
                    self._parts.spawn(self._act(action, turn))
                case Probe():
                    self._wire.ping()
                case Close():
                    self._shut(action.code)
        self.due = self._session.deadline

    async def _act(self, deliver: Deliver, turn: Turn) -> None:
        """The root of a frame's task: whatever happens, the frame gets its one answer."""
        async with turn:
            await self._do_and_answer(deliver)

    async def _do_and_answer(self, deliver: Deliver) -> None:
        try:
            if isinstance(deliver.frame, c.Hello):
                await self._greet(deliver.frame)
            elif isinstance(deliver.frame, c.Auth):
                await self._renew(deliver.frame, deliver.exchange)
            else:
                assert self._requests is not None, "the machine delivers `hello` first"
                await self._requests.act(deliver, lambda frame: self._answer(deliver, frame))
        except ChatError as error:
            self._refuse(deliver, error)
        except StorageError as error:
            refusal = from_storage(error)
            if refusal.code is ErrorCode.INTERNAL:
                self._parts.fault(self._trace, error)
            self._refuse(deliver, refusal)
        except Exception as error:  # noqa: BLE001 - a client's frame must not be left unanswered
            self._parts.fault(self._trace, error)
            self._refuse(deliver, internal())

    def _answer(self, deliver: Deliver, frame: s.ServerFrame) -> None:
        self._do(self._session.answer(deliver.exchange, frame, self._parts.clock()))

    def _refuse(self, deliver: Deliver, error: ChatError) -> None:
        if deliver.exchange == NO_EXCHANGE:
            return
        if deliver.exchange == HELLO_EXCHANGE:
            overloaded = error.code in (ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE)
            self.close(CloseCode.OVERLOADED if overloaded else CloseCode.INTERNAL_ERROR)
            return
        refusal: Refusal = error.refusal(reference(deliver.frame))
        self._do(self._session.refuse(deliver.exchange, refusal, self._parts.clock()))

    async def _greet(self, hello: c.Hello) -> None:
        self._client = hello.client
        try:
            principal = await self._credentials.verify(hello.token)
        except TokenRefused as refused:
            token_refused(refused.reason, self._wire.peer, self._trace)
            self.close(refused.close)
            return
        if self._session.state is State.CLOSED:
            return
        if self._close_if_void(principal):
            return
        if not await self._seated(principal):
            return
        parts = self._parts
        limits = parts.limits.limits_of(principal)
        self._requests = Requests(parts, self._following, principal, limits, self._trace)
        self._belong(principal)
        welcome = s.Welcome(
            session=self._name,
            user=principal.user,
            tenant=principal.tenant,
            server=parts.server,
            heartbeat_s=parts.options.heartbeat_s,
            limits=limits,
            features=list(parts.features),
            expires_at=rfc3339(round(principal.expires_at * 1000)),
        )
        lives_s = principal.expires_at - parts.wall()
        self._do(self._session.grant(welcome, parts.clock(), lives_s=lives_s))

    async def _renew(self, auth: c.Auth, exchange: int) -> None:
        requests = self._requests
        assert requests is not None, "the machine delivers `hello` first"
        words = "The token is not accepted; the one before stays good until its own end."
        try:
            principal = await self._credentials.verify(auth.token)
        except TokenRefused as refused:
            token_refused(refused.reason, self._wire.peer, self._trace)
            raise ChatError(ErrorCode.UNAUTHENTICATED, words) from None
        if self._parts.revocations.is_void(principal):
            raise ChatError(ErrorCode.UNAUTHENTICATED, words)
        before = requests.principal.owner
        self._becoming = principal
        try:
            await self._credentials.become(requests.principal, principal)
            requests.principal = principal  # what `welcome` said goes on to hold
        finally:
            self._becoming = None
        if before != principal.owner:
            # Whatever the visitor's other sockets follow is the user's now. They may come back with
            # a new token: a visitor's, to an empty list, or the user's own.
            self._parts.registry.kick(before, CloseCode.TOKEN_EXPIRED, but=self)
        if not await self._seated(principal):
            return
        self._belong(principal)
        ok = s.Ok(ref="auth", expires_at=rfc3339(round(principal.expires_at * 1000)))
        lives_s = principal.expires_at - self._parts.wall()
        self._do(self._session.renew(exchange, ok, self._parts.clock(), lives_s=lives_s))

    async def _seated(self, principal: Principal) -> bool:
        """Whether it may stay, of all sockets of this principal, and has not ended meanwhile."""
        parts, client = self._parts, self._client
        if self not in parts.registry:
            return False  # it has ended, and nobody would leave the seat again
        full = parts.admission.seat(self._place, principal)
        if full is not None:
            self.close(full)
            return False
        seated = await parts.seating.take(
            self._name,
            principal.owner,
            parts.limits.limits_of(principal).sockets,
            client=f"{client.name} {client.version}" if client else None,
        )
        if not seated:
            self.close(CloseCode.CONNECTION_LIMIT)
        else:
            self._close_if_void(principal)  # meanwhile, when nobody told it
        return self._session.state is not State.CLOSED

    def _close_if_void(self, principal: Principal) -> bool:
        void = self._parts.revocations.is_void(principal)
        if void:
            self.close(CloseCode.REVOKED)
        return void

    def _belong(self, principal: Principal) -> None:
        """The socket is this principal's."""
        if self._session.state is State.CLOSED:
            return
        self._following.owner = principal.owner
        self._parts.registry.greet(self, principal.owner)

    def _ponged(self) -> None:
        self._session.ponged(self._parts.clock())
        self.due = self._session.deadline

    def _overflow(self) -> None:
        self._parts.spawn(self._close_slow())

    async def _close_slow(self) -> None:
        # Hundreds may stop reading in the same moment; between some of them others have their turn.
        async with self._parts.giving_up:
            self.close(CloseCode.SLOW_CONSUMER)
            await asyncio.sleep(0)

    def _adrift(self) -> None:
        self.close(CloseCode.NOT_LEVEL)

    def _shut(self, code: CloseCode) -> None:
        self._code = self._code or code
        self._following.end()
        self._outbox.end()
        self._wire.close(code)

    def _ended(self) -> None:
        self._session.closed()
        self._following.end()
        self._outbox.end()
        self._parts.registry.closed(self)
        self._parts.seating.leave(self._name)
        principal = self._requests.principal if self._requests else None
        self._parts.report(
            ConnectionClosed(
                session=self._name,
                trace=self._trace,
                peer=self._wire.peer,
                codec=self._codec.subprotocol,
                tenant=principal.tenant if principal else None,
                user=principal.user if principal else None,
                client=structs.astuple(self._client) if self._client else None,
                code=self._code or CloseCode.ABNORMAL,
                duration_s=self._parts.clock() - self._began,
                frames_in=self._frames_in,
                frames_out=self._outbox.frames,
                bytes_in=self._bytes_in,
                bytes_out=self._outbox.bytes,
            )
        )
