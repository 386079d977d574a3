"""One-time tickets, for a socket whose client can put a credential nowhere but into its URL."""

from starlette.requests import Request
from starlette.responses import Response

from protocol.types import rfc3339
from server.auth.tickets import Tickets
from server.http.bearer import Bearer
from server.http.bodies import JsonResponse, single


class TicketOffice:
    """`POST /api/v1/tickets`: a token in, a ticket out."""

    def __init__(self, bearer: Bearer, tickets: Tickets) -> None:
        self._bearer = bearer
        self._tickets = tickets

    async def issue(self, request: Request) -> Response:
        """A ticket for whom the token speaks for, from the page's Origin alone."""
        principal = await self._bearer.principal(request)
        ticket = await self._tickets.issue(principal, single(request, "origin"))
        expires_at = rfc3339(round(ticket.expires_at * 1000))
        return JsonResponse({"ticket": ticket.text, "expires_at": expires_at}, 201)
