"""Whom a request speaks for: the token that it bears, which nothing has voided since."""

from collections.abc import Callable

from starlette.requests import Request

from protocol.codes import CloseCode
from server.auth.principal import Principal
from server.auth.tokens import TokenRefused, Tokens
from server.http.bodies import single


class Bearer:
    """Reads `Authorization: Bearer`; a token in any other place is none."""

    def __init__(self, tokens: Tokens, is_void: Callable[[Principal], bool]) -> None:
        self._tokens = tokens
        self._is_void = is_void

    async def principal(self, request: Request) -> Principal:
        """Who speaks; `TokenRefused` if nobody does, or nobody any more."""
        scheme, _, token = (single(request, "authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefused(CloseCode.UNAUTHENTICATED, "there is none")
        principal = await self._tokens.verify(
            token.strip(),
            origin=single(request, "origin"),
            # Of a foreign page that sends a token, the browser always tells the Origin.
            origin_is_told=request.method not in ("GET", "HEAD"),
        )
        if self._is_void(principal):
            raise TokenRefused(CloseCode.REVOKED, "its sessions were ended")
        return principal
