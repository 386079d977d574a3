"""Visitors' tokens over HTTP."""

import re
from typing import Any

import pytest

from server.auth.principal import Kind
from server.http.visitors import Arriving
from tests.server.http.world import World
from tests.support.asgi import Client

PATH = "/api/v1/visitors"
SHOP = {"origin": "https://shop.example"}


async def test_a_visitor_of_a_site_gets_a_token(world: World) -> None:
    """Good at once, from the site's Origin, which may read it."""
    answer = await world.post(PATH, {"site": "pk_shop"}, **SHOP)
    assert answer.status == 201
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"token", "visitor", "renewal", "expires_at"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["expires_at"])
    principal = await world.tokens.verify(body["token"], origin="https://shop.example")
    assert (principal.kind, principal.user) == (Kind.VISITOR, body["visitor"])
    assert principal.tenant == "acme"


async def test_the_same_visitor_comes_back_with_the_secret(world: World) -> None:
    """And gets another secret for the next time."""
    first = (await world.post(PATH, {"site": "pk_shop"}, **SHOP)).json()
    again = await world.post(PATH, {"site": "pk_shop", "renewal": first["renewal"]}, **SHOP)
    assert again.status == 201
    assert again.json()["visitor"] == first["visitor"]
    assert again.json()["renewal"] != first["renewal"]


async def test_in_development_no_site_need_be_set_up(loopback: World) -> None:
    """A page on this machine, or none."""
    assert (await loopback.post(PATH, {})).status == 201
    assert (await loopback.post(PATH, {}, origin="http://localhost:3000")).status == 201
    assert (await loopback.post(PATH, {}, origin="https://evil.example")).status == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "https://chat.example", "http://shop.example"]
)
async def test_only_the_sites_own_pages_may_ask(world: World, origin: str | None) -> None:
    """None, `null`, a stranger's, and one that is let in elsewhere."""
    headers = {} if origin is None else {"origin": origin}
    answer = await world.post(PATH, {"site": "pk_shop"}, **headers)
    assert answer.error() == (403, "forbidden")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_field"),
        ({"site": "pk_nobody"}, 404, "not_found"),
        ({"site": "' OR 1=1"}, 422, "invalid_field"),
        ({"site": "\0"}, 422, "invalid_field"),
        ({"site": ""}, 422, "invalid_field"),
        ({"site": "x" * 129}, 422, "invalid_field"),
        ({"site": 5}, 400, "invalid_frame"),
        ({"site": "pk_shop", "user": "admin"}, 400, "invalid_frame"),
        ({"site": "pk_shop", "email": "ada@example.org"}, 400, "invalid_frame"),
        ({"site": "pk_shop", "renewal": "junk"}, 401, "unauthenticated"),
        ({"site": "pk_shop", "renewal": "0" * 32 + "." + "x" * 43}, 401, "unauthenticated"),
        ({"site": "pk_shop", "renewal": "ä"}, 422, "invalid_field"),
        ([], 400, "bad_json"),
        ({"site": "x" * 4000}, 413, "payload_too_large"),
    ],
)
async def test_a_body_that_will_not_do_is_refused(
    world: World, body: Any, status: int, code: str
) -> None:
    """Whom the widget says the visitor is has no effect: there is no such field."""
    assert (await world.post(PATH, body, **SHOP)).error() == (status, code)


async def test_an_address_that_brings_too_many_has_to_wait(world: World) -> None:
    """Another address has not."""
    for _ in range(3):
        assert (await world.post(PATH, {"site": "pk_shop"}, **SHOP)).status == 201
    refused = await world.post(PATH, {"site": "pk_shop"}, **SHOP)
    assert refused.error() == (429, "rate_limited")
    assert refused.json()["error"]["retry_after_ms"] == 20_000
    assert refused.headers["retry-after"] == "20"
    assert refused.headers["x-ratelimit-limit"] == "3"
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    elsewhere = Client(world.client.app, address="198.51.100.7")
    headers = {"host": world.host, **SHOP}
    assert (await elsewhere.post(PATH, {"site": "pk_shop"}, headers)).status == 201
    world.now += 20
    assert (await world.post(PATH, {"site": "pk_shop"}, **SHOP)).status == 201


async def test_a_page_cannot_post_without_being_asked(world: World) -> None:
    """What a browser sends across origins without a preflight is refused."""
    answer = await world.send(
        "POST", PATH, b'{"site": "pk_shop"}', content_type="text/plain", cookie="a=b", **SHOP
    )
    assert answer.error() == (415, "unsupported_media")


def test_a_repr_shows_no_secret() -> None:
    """It may end in a log."""
    assert "canary" not in repr(Arriving(site="pk", renewal="canary"))
