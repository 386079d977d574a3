"""Every path of the plain HTTP side."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from server.http.documents import document
from server.http.edge import Edge
from server.http.health import Health, Readiness
from server.http.landing import landing
from server.http.parts import HttpParts
from server.http.tickets import TicketOffice
from server.http.visitors import Reception


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
    office = TicketOffice(parts.tokens, parts.tickets, parts.revocations.is_void)
    return [
        Route("/", landing(parts.base_path)),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/health", health.about),
        Route("/api/v1/visitors", reception.arrive, methods=["POST"]),
        Route("/api/v1/tickets", office.issue, methods=["POST"]),
        Route("/schema/frames.json", document("frames.json")),
        Route("/asyncapi.json", document("asyncapi.json")),
    ]


def application(parts: HttpParts, sockets: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The whole application: these routes and those of the sockets, behind the edge."""
    # A redirect would repeat whatever Host it was asked by.
    router = Router([*routes(parts), *sockets], redirect_slashes=False)
    return Edge(router, parts.doors, base_path=parts.base_path)
