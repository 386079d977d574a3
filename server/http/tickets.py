"""One-time tickets, for a socket whose client can put a credential nowhere but into its URL."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from protocol.codes import CloseCode
from protocol.types import rfc3339
from server.auth.principal import Principal
from server.auth.tickets import Tickets
from server.auth.tokens import TokenRefused, Tokens
from server.http.bodies import JsonResponse, single


class TicketOffice:
    """`POST /api/v1/tickets`: a token in, a ticket out."""

    def __init__(
        self,
        tokens: Tokens,
        tickets: Tickets,
        is_void: Callable[[Principal], bool],
    ) -> None:
        self._tokens = tokens
        self._tickets = tickets
        self._is_void = is_void

    async def issue(self, request: Request) -> Response:
        """A ticket for whom the token speaks for, from the page's Origin alone."""
        origin = single(request, "origin")
        principal = await self._tokens.verify(_bearer(request), origin=origin)
        if self._is_void(principal):
            raise TokenRefused(CloseCode.REVOKED, "its sessions were ended")
        ticket = await self._tickets.issue(principal, origin)
        expires_at = rfc3339(round(ticket.expires_at * 1000))
        return JsonResponse({"ticket": ticket.text, "expires_at": expires_at}, 201)


def _bearer(request: Request) -> str:
    scheme, _, token = (single(request, "authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefused(CloseCode.UNAUTHENTICATED, "there is none")
    return token.strip()
