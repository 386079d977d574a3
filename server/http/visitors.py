"""Visitors' tokens, for a site's widget whose people nobody vouches for."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from protocol.types import Guarded, rfc3339
from server.auth.visitors import Visitors
from server.errors import RateLimited
from server.http.bodies import JsonResponse, read_json, single

BODY_BYTES = 2048

_Printable = Annotated[str, Meta(max_length=128, pattern=r"^[!-~]+(?![\s\S])")]


class Arriving(Guarded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body: on which site, and as whom again."""

    site: _Printable | None = None
    renewal: _Printable | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Arriving(site={self.site!r})"


class Reception:
    """`POST /api/v1/visitors`: lets a page's visitor in."""

    def __init__(
        self,
        visitors: Visitors,
        wait_ms: Callable[[str], int],
        *,
        per_minute: int,
        body_s: float,
    ) -> None:
        """`wait_ms` counts an arrival from an address, and says how long it has to wait."""
        self._visitors = visitors
        self._wait_ms = wait_ms
        self._per_minute = per_minute
        self._body_s = body_s

    async def arrive(self, request: Request) -> Response:
        """A token for a new visitor, or for one who comes back."""
        arriving = await read_json(request, Arriving, most_bytes=BODY_BYTES, within_s=self._body_s)
        wait_ms = self._wait_ms(request.client.host if request.client else "")
        if wait_ms:
            words = "Too many visitors come from this address; try again later."
            raise RateLimited(words, wait_ms, self._per_minute)
        origin = single(request, "origin")
        arrival = await self._visitors.arrive(arriving.site, arriving.renewal, origin)
        return JsonResponse(
            {
                "token": arrival.token,
                "visitor": arrival.visitor,
                "renewal": arrival.renewal,
                "expires_at": rfc3339(arrival.expires_at * 1000),
            },
            201,
        )
