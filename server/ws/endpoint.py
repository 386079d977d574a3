"""The socket's way in: what is decided before the upgrade, in the order in which it is cheap."""

import asyncio
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from protocol.codec import negotiate
from protocol.codes import CloseCode, ErrorCode
from server.auth.doors import token_in_query
from server.errors import ChatError, RateLimited
from server.limits.admission import NoRoom, Place
from server.limits.newcomers import Entry
from server.net.wire import WIRE, Wire
from server.telemetry.lines import ConnectionClosed, refused
from server.telemetry.trace import trace_in
from server.ws.connection import Connection
from server.ws.credentials import Credentials
from server.ws.parts import Parts


class Endpoint:
    """`GET /ws`, as an ASGI application."""

    def __init__(self, parts: Parts, draining: Callable[[], bool]) -> None:
        self._parts = parts
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by a status, or upgrade and serve until the socket's end."""
        wire: Wire = scope["extensions"][WIRE]
        headers = Headers(scope=scope)
        name = f"s_{secrets.token_hex(12)}"
        trace = trace_in(headers.get("traceparent")) or name
        await receive()
        place = self._refuse(scope, headers, wire.peer) or self._enter(wire.peer)
        if isinstance(place, ChatError):
            await self._deny(place, scope, receive, send, trace=trace)
            return
        try:
            if place.entry is not None:
                if not await _comes(place.entry, receive):
                    return
                late = self._after(place)
                if late is not None:
                    await self._deny(late, scope, receive, send, trace=trace)
                    return
            await self._serve(scope, receive, send, place, name=name, trace=trace)
        finally:
            self._parts.admission.leave(place)

    async def _deny(
        self, error: ChatError, scope: Scope, receive: Receive, send: Send, *, trace: str
    ) -> None:
        refused(error, scope["extensions"][WIRE].peer, trace)
        await self._parts.deny(error, trace)(scope, receive, send)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, place: Place, *, name: str, trace: str
    ) -> None:
        wire: Wire = scope["extensions"][WIRE]
        offered: list[str] = scope["subprotocols"]
        codec = negotiate(offered)
        accepted = codec.subprotocol if codec is not None and offered else None
        said = [(b"x-request-id", trace.encode())]
        await send({"type": "websocket.accept", "subprotocol": accepted, "headers": said})
        if codec is None:
            await self._turn_away(wire, receive, name=name, trace=trace)
            return
        connection = Connection(
            self._parts,
            wire,
            codec,
            name=name,
            place=place,
            credentials=self._credentials(trace, Headers(scope=scope), scope),
            trace=trace,
        )
        # A socket may live for days, and what a browser says of itself takes kilobytes.
        scope["headers"].clear()
        await connection.run(receive)

    async def _turn_away(self, wire: Wire, receive: Receive, *, name: str, trace: str) -> None:
        """Close what speaks nothing of ours.

        Accepted first, for a browser shows a page nothing of a refused upgrade.
        """
        began = self._parts.clock()
        wire.close(CloseCode.UNSUPPORTED_VERSION)
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            self._parts.report(
                ConnectionClosed(
                    session=name,
                    trace=trace,
                    peer=wire.peer,
                    code=CloseCode.UNSUPPORTED_VERSION,
                    duration_s=self._parts.clock() - began,
                )
            )

    def _credentials(self, trace: str, headers: Headers, scope: Scope) -> Credentials:
        return Credentials(
            self._parts,
            trace,
            origin=headers.get("origin"),
            bearer=_bearer(headers),
            ticket=_ticket(scope),
        )

    def _refuse(self, scope: Scope, headers: Headers, peer: str) -> ChatError | None:
        if self._draining():
            return _shutting_down()
        for name in ("origin", "authorization"):
            if len(headers.getlist(name)) > 1:  # a proxy may judge by another one of them
                words = f"The header {name} must occur once."
                return ChatError(ErrorCode.INVALID_FRAME, words)
        host, origin = headers.get("host"), headers.get("origin")
        closed = self._parts.doors.refuse(host, origin, browser=False)
        if closed is not None:
            return ChatError(ErrorCode.FORBIDDEN, closed)
        if token_in_query(scope["query_string"].decode("latin-1")):
            words = "A token in a URL ends in logs. Send it in `hello`, or get a ticket for it."
            return ChatError(ErrorCode.TOKEN_IN_QUERY, words)
        wait_ms = self._parts.rates.handshake(peer)
        if wait_ms:
            words = "Too many handshakes from this address; come back later."
            return RateLimited(words, wait_ms, self._parts.limits.handshakes_per_minute)
        return None

    def _enter(self, peer: str) -> Place | ChatError:
        place = self._parts.admission.enter(peer)
        return place if isinstance(place, Place) else self._later(place)

    def _after(self, place: Place) -> ChatError | None:
        """What has changed while the upgrade waited."""
        if self._draining():
            return _shutting_down()
        no_room = self._parts.admission.after(place)
        return None if no_room is None else self._later(no_room)

    def _later(self, no_room: NoRoom) -> ChatError:
        words = f"There is no room: {no_room.reason}. Come back later."
        wait_ms = no_room.retry_after_s * 1000
        if no_room.status == 429:
            return RateLimited(words, wait_ms, self._parts.limits.sockets_per_address)
        return ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=wait_ms)


async def _comes(entry: Entry, receive: Receive) -> bool:
    """Wait for a turn; false: the client is gone before."""
    gone = asyncio.ensure_future(receive())  # before the upgrade it tells nothing else
    try:
        await asyncio.wait((entry, gone), return_when=asyncio.FIRST_COMPLETED)
        return not gone.done()
    finally:
        gone.cancel()


def _shutting_down() -> ChatError:
    words = "This instance is shutting down; connect again, to another one."
    return ChatError(ErrorCode.UNAVAILABLE, words, retry_after_ms=1000)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _ticket(scope: Scope) -> str | None:
    tickets = parse_qs(scope["query_string"].decode("latin-1")).get("ticket")
    return tickets[0] if tickets else None
