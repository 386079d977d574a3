"""Every path of the plain HTTP side."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.http.assets import assets
from server.http.bearer import Bearer
from server.http.conversations import ConversationDesk
from server.http.documents import document
from server.http.edge import Edge
from server.http.errors import answer, translated
from server.http.health import Health, Readiness
from server.http.landing import landing
from server.http.parts import HttpParts
from server.http.tickets import TicketOffice
from server.http.visitors import Reception
from server.telemetry.lines import refused
from server.telemetry.trace import trace_from

CONVERSATIONS = "/api/v1/conversations"


async def only_sockets(_: Request) -> Response:
    """What a request for the socket is told that asks for no upgrade."""
    raise ChatError(
        ErrorCode.INVALID_FRAME,
        "Here is a WebSocket. Open it with a WebSocket client, which asks for the upgrade; a proxy"
        " between must pass on the headers Upgrade and Connection.",
        status=426,
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """What any other path is answered with, also where it asks for an upgrade."""
    if scope["type"] == "http":
        raise HTTPException(404)
    error = translated(HTTPException(404))
    trace = trace_from(Headers(scope=scope).get("traceparent"))
    refused(error, scope["client"][0] if scope["client"] else "", trace)
    await answer(error, trace)(scope, receive, send)


def resource(path: str, **methods: Callable[[Request], Awaitable[Response]]) -> Route:
    """One route for all methods of a path, so that a wrong one is told all of them."""

    async def serve(request: Request) -> Response:
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, serve, methods=list(methods))


def routes(parts: HttpParts) -> list[Route]:
    """Path, endpoint and methods."""
    readiness = Readiness(parts.probes, parts.options, parts.clock)
    health = Health(
        parts.about, readiness, load=parts.load, draining=parts.draining, clock=parts.clock
    )
    reception = Reception(
        parts.visitors,
        parts.rates.arrival,
        per_minute=parts.limits.arrivals_per_minute,
        body_s=parts.options.body_s,
    )
    bearer = Bearer(parts.tokens, parts.revocations.is_void)
    office = TicketOffice(bearer, parts.tickets)
    desk = ConversationDesk(
        bearer,
        parts.conversations,
        parts.store,
        parts.rates,
        parts.limits,
        reads=parts.fetches,
        changes=parts.commands,
        searches=parts.searches,
        body_s=parts.options.body_s,
    )
    one = f"{CONVERSATIONS}/{{id}}"
    return [
        Route("/", landing(parts.base_path)),
        Route("/ws", only_sockets),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/health", health.about),
        Route("/api/v1/visitors", reception.arrive, methods=["POST"]),
        Route("/api/v1/tickets", office.issue, methods=["POST"]),
        resource(CONVERSATIONS, GET=desk.list, POST=desk.create),
        resource(one, GET=desk.read, PATCH=desk.change, DELETE=desk.delete),
        resource(f"{one}/messages", GET=desk.messages),
        resource(f"{one}/export", GET=desk.export),
        resource(f"{one}/feedback", POST=desk.feedback),
        Route("/schema/frames.json", document("frames.json")),
        Route("/asyncapi.json", document("asyncapi.json")),
        *(Route(path, asset.serve) for path, asset in assets().items()),
    ]


def application(parts: HttpParts, sockets: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The whole application: these routes and those of the sockets, behind the edge."""
    # A redirect would repeat whatever Host it was asked by.
    router = Router([*routes(parts), *sockets], redirect_slashes=False, default=nowhere)
    return Edge(router, parts.doors, base_path=parts.base_path, public=assets())
