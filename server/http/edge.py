"""The way in and out of every HTTP request: its trace, its doors, its last resort.

A pure ASGI application around the routes. It decides what needs no route, translates whatever a
route fails with, and sees to it that no answer leaves without the headers that all of them have.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.codes import ErrorCode
from server.auth.doors import Doors, token_in_query
from server.auth.tokens import TokenRefused
from server.errors import ChatError
from server.http.bodies import single
from server.http.errors import answer, headers_of, translated
from server.telemetry.lines import token_refused
from server.telemetry.logs import get_logger
from server.telemetry.trace import trace_from

TRACE = "parley.trace"  # its key in the scope

# Probes come by an address, not by a name; what they are told is nobody's secret.
WITHOUT_HOST = frozenset({"/health/live", "/health/ready"})
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
UNLESS_SAID = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID,"
    " Traceparent",
    "Access-Control-Max-Age": "600",
}
EXPOSED = (
    "Content-Disposition, Retry-After, X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining,"
    " X-RateLimit-Reset"
)

Mint: TypeAlias = Callable[[str | None], str]
_log = get_logger()


class Edge:
    """Around the application; sockets pass through it to their own endpoint."""

    def __init__(
        self,
        app: ASGIApp,
        doors: Doors,
        *,
        base_path: str = "",
        public: Collection[str] = (),
        trace: Mint = trace_from,
    ) -> None:
        """`base_path` is what stands before every path where a proxy does not cut it off.

        The paths in `public` are for the pages of every Origin.
        """
        self._app = app
        self._doors = doors
        self._base_path = base_path.rstrip("/")
        self._public = frozenset(public)
        self._trace = trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; hand on a socket or the lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = self._rooted(scope)
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _rooted(self, scope: Scope) -> Scope:
        """The routes see the path behind the base path; without it, it was cut off on the way."""
        scope = {**scope, "app": self, "root_path": self._base_path}
        if scope["path"] == self._base_path:
            scope["path"] += "/"
        return scope

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        trace = scope[TRACE] = self._trace(headers.get("traceparent"))
        exchange = Exchange(headers, trace, receive, send)
        request = Request(scope, exchange.receive)
        try:
            origin = self._let_in(request)
            if origin is not None:
                exchange.allow(origin)
            if origin is not None and _is_preflight(request):
                response = Response(status_code=204, headers=PREFLIGHT)
                await response(scope, exchange.receive, exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as error:  # noqa: BLE001 - the root of the request's task
            said = translated(error)
            _write_down(error, said, request, began=exchange.started)
            if not exchange.started:
                response = answer(said, trace, headers_of(error))
                await response(scope, exchange.receive, exchange.send)

    def _let_in(self, request: Request) -> str | None:
        """The Origin it comes from, which may be none; `ChatError` if it may not come in."""
        host, origin = single(request, "host"), single(request, "origin")
        path = request.scope["path"].removeprefix(self._base_path)
        if path not in WITHOUT_HOST:
            of_page = None if path in self._public else origin
            refusal = self._doors.refuse(host, of_page, browser=False)
            if refusal is not None:
                raise ChatError(ErrorCode.FORBIDDEN, refusal)
        if token_in_query(request.scope["query_string"].decode("latin-1")):
            words = "A token in a URL ends in logs. Send it as `Authorization: Bearer <token>`."
            raise ChatError(ErrorCode.TOKEN_IN_QUERY, words)
        return origin if origin is not None and self._doors.lets(origin) else None


class Exchange:
    """One request and its answer, with what is the same for all of them."""

    def __init__(self, headers: Headers, trace: str, receive: Receive, send: Send) -> None:
        self.started = False
        self._trace = trace
        self._origin: str | None = None
        self._receive = receive
        self._send = send
        told = headers.get("content-length", "0").strip("0")
        self._unread = bool(told) or "transfer-encoding" in headers

    def allow(self, origin: str) -> None:
        """Let the page of this Origin read the answer."""
        self._origin = origin

    async def receive(self) -> Message:
        """Read on, and notice the body's end."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Answer, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.started = True
            message.setdefault("headers", [])
            self._complete(MutableHeaders(scope=message))
        await self._send(message)

    def _complete(self, headers: MutableHeaders) -> None:
        headers.update(ALWAYS)
        headers["X-Request-ID"] = self._trace
        for name, value in UNLESS_SAID.items():
            headers.setdefault(name, value)
        # What says by itself who may read it says the same to every Origin.
        if "Access-Control-Allow-Origin" not in headers:
            headers.add_vary_header("Origin")
            if self._origin is not None:
                headers["Access-Control-Allow-Origin"] = self._origin
                headers["Access-Control-Expose-Headers"] = EXPOSED
        if self._unread:
            # The rest of a body that nobody wants would be read as the next request, or for ever.
            headers["Connection"] = "close"


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _write_down(error: Exception, said: ChatError, request: Request, *, began: bool) -> None:
    """What the answer does not tell: our own failures, and why credentials were refused.

    An answer that began tells nothing: without its end, the connection ends with it.
    """
    trace, route = request.scope[TRACE], getattr(request.scope.get("route"), "path", None)
    if said.code is ErrorCode.INTERNAL:
        _log.error("a request failed", route=route, trace=trace, exc_info=error)
    elif began:
        _log.error("an answer was cut off", route=route, trace=trace, code=said.code.value)
    elif isinstance(error, TokenRefused):
        token_refused(error.reason, request.client.host if request.client else None, trace)
