"""Whom a request speaks for; what comes of that is told with tickets and conversations."""

import pytest
from starlette.requests import Request

from server.auth.tokens import TokenRefused
from server.http.bearer import Bearer
from tests.server.http.world import World


def request(*headers: tuple[str, str], method: str = "GET") -> Request:
    """With these headers."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": method, "path": "/", "headers": pairs})


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


async def test_a_page_reads_of_its_own_server_without_an_origin(world: World) -> None:
    """So browsers do it; what changes something, or comes of another page, tells where from."""
    bearer = Bearer(world.tokens, lambda _: False)
    token, _ = world.tokens.mint_visitor(
        visitor="v1", tenant="default", site=None, origin="https://chat.example"
    )
    bears = ("authorization", f"Bearer {token}")
    for method in ("GET", "HEAD"):
        assert (await bearer.principal(request(bears, method=method))).user == "v1"
    here, elsewhere = ("origin", "https://chat.example"), ("origin", "https://else.example")
    assert (await bearer.principal(request(bears, here, method="POST"))).user == "v1"
    for refused in (
        request(bears, elsewhere),
        request(bears, elsewhere, method="POST"),
        request(bears, method="POST"),
        request(bears, method="DELETE"),
    ):
        with pytest.raises(TokenRefused):
            await bearer.principal(refused)
