"""Tickets over HTTP."""

import pytest

from server.auth.tokens import TokenRefused
from storage.errors import Unavailable
from tests.server.http.world import World
from tests.support.logs import logging_to_memory

PATH = "/api/v1/tickets"
ORIGIN = "https://chat.example"


async def test_a_token_buys_a_ticket(world: World) -> None:
    """Which speaks for the same person, once, from the same Origin."""
    answer = await world.send("POST", PATH, authorization=f"Bearer {world.token()}", origin=ORIGIN)
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"ticket", "expires_at"}
    assert body["expires_at"].endswith("Z")
    assert (await world.parts.tickets.redeem(body["ticket"], ORIGIN)).user == "u1"
    with pytest.raises(TokenRefused):
        await world.parts.tickets.redeem(body["ticket"], ORIGIN)


async def test_a_body_is_welcome_and_not_looked_at(world: World) -> None:
    """There is nothing to say."""
    answer = await world.post(PATH, {}, authorization=f"bearer  {world.token()} ")
    assert answer.status == 201


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer x.y.z", "Bearer " + "x" * 100_000],
)
async def test_without_a_good_token_there_is_none(world: World, authorization: str | None) -> None:
    """Whatever stands in its place; the log has why, by the answer's trace."""
    headers = {} if authorization is None else {"authorization": authorization}
    with logging_to_memory() as log:
        answer = await world.send("POST", PATH, **headers)
        [line] = log.lines()
    assert answer.error() == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert line["event"] == "a token was refused"
    assert line["trace"] == answer.headers["x-request-id"]
    assert line["peer"] == "127.0.0.0/24"


async def test_two_tokens_are_none(world: World) -> None:
    """Nobody knows which one a proxy believed."""
    pairs = [("host", world.host)] + [("authorization", f"Bearer {world.token()}")] * 2
    answer = await world.client.request("POST", PATH, pairs)
    assert answer.error() == (400, "invalid_frame")


async def test_a_revoked_token_buys_nothing(world: World) -> None:
    """Its person was signed out everywhere."""
    accounts = world.store.internal.accounts
    token = world.token()
    from storage.accounts import Tenant, User

    await accounts.put_tenant(Tenant(id="default", name="Default"))
    await accounts.put_user(User(tenant="default", id="u1"))
    await accounts.disable_user("default", "u1", disabled=True)
    await world.parts.revocations.refresh()
    answer = await world.send("POST", PATH, authorization=f"Bearer {token}")
    assert answer.error() == (401, "unauthenticated")


async def test_a_person_holds_only_so_many(world: World) -> None:
    """Then it is told when the oldest ends."""
    token = world.token()
    for _ in range(20):
        assert (await world.send("POST", PATH, authorization=f"Bearer {token}")).status == 201
    answer = await world.send("POST", PATH, authorization=f"Bearer {token}")
    assert answer.error() == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) <= 30
    assert answer.headers["x-ratelimit-limit"] == "20"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == answer.headers["retry-after"]


async def test_without_their_store_there_are_no_tickets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, and it may be asked again."""

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(world.parts.tickets._store, "put", away)
    answer = await world.send("POST", PATH, authorization=f"Bearer {world.token()}", origin=ORIGIN)
    assert answer.error() == (503, "unavailable")
