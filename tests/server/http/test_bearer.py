"""Whom a request speaks for; what comes of that is told with tickets and conversations."""

import pytest
from starlette.requests import Request

from server.auth.tokens import TokenRefused
from server.http.bearer import Bearer
from tests.server.http.world import World


def request(*headers: tuple[str, str]) -> Request:
    """With these headers."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": pairs})


async def test_a_token_speaks_for_its_person(world: World) -> None:
    """However the scheme is spelt."""
    bearer = Bearer(world.tokens, lambda _: False)
    for scheme in ("Bearer", "bearer", "BEARER "):
        principal = await bearer.principal(request(("authorization", f"{scheme} {world.token()}")))
        assert principal.user == "u1"


async def test_a_token_elsewhere_or_void_speaks_for_nobody(world: World) -> None:
    """A cookie is sent by browsers without being asked."""
    bearer = Bearer(world.tokens, lambda _: False)
    for name in ("cookie", "x-authorization", "proxy-authorization"):
        with pytest.raises(TokenRefused):
            await bearer.principal(request((name, f"Bearer {world.token()}")))
    void = Bearer(world.tokens, lambda _: True)
    with pytest.raises(TokenRefused):
        await void.principal(request(("authorization", f"Bearer {world.token()}")))
