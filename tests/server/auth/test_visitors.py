"""Visitors: let in, and in again."""

import asyncio
from typing import Any

import pytest

from protocol.codes import ErrorCode
from server.auth.keys import OneKey
from server.auth.options import Options
from server.auth.principal import Kind
from server.auth.tokens import Tokens
from server.auth.visitors import Arrival, Visitors
from server.errors import ChatError
from storage.accounts import Site, Tenant
from tests.support.issuer import SECRET
from tests.support.rows import World

SHOP = "https://shop.example"
OPTIONS = Options()


class Door:
    """Visitors of a real store, in the time of its clock."""

    def __init__(self, world: World, *, development: bool, secret: bytes | None = SECRET) -> None:
        self.world = world
        self.tokens = Tokens(
            OneKey.of_secret(SECRET),
            OPTIONS,
            issuer="i",
            audience="a",
            secret=secret,
            development=development,
            clock=lambda: world.clock.now / 1000,
        )
        self.visitors = Visitors(
            self.tokens,
            world.store.internal.accounts,
            world.store.internal.renewals,
            OPTIONS,
            secret=secret,
            development=development,
        )

    async def come(
        self, renewal: str | None = None, site: str | None = "pk", origin: str | None = SHOP
    ) -> Arrival:
        return await self.visitors.arrive(site, renewal, origin)

    async def refused(self, *args: Any, **kwargs: Any) -> ErrorCode:
        with pytest.raises(ChatError) as caught:
            await self.come(*args, **kwargs)
        return caught.value.code


@pytest.fixture
async def shop(world: World) -> Door:
    """Production, with a site of two origins."""
    accounts = world.store.internal.accounts
    await accounts.put_tenant(Tenant(id="acme", name="Acme"))
    for site, disabled in (("pk", False), ("off", True)):
        await accounts.put_site(
            Site(
                tenant="acme",
                id=f"id-{site}",
                public_key=site,
                name="Shop",
                origins=(SHOP, "https://WWW.shop.example:443"),
                disabled=disabled,
            )
        )
    return Door(world, development=False)


async def test_a_visitor_of_a_site_gets_a_token_that_is_good_there(shop: Door) -> None:
    """With an id that nobody can guess; each arrival is another visitor."""
    arrival, other = await shop.come(), await shop.come(origin="https://www.shop.example")
    visitor = await shop.tokens.verify(arrival.token, origin=SHOP)
    assert (visitor.kind, visitor.tenant, visitor.user) == (Kind.VISITOR, "acme", arrival.visitor)
    assert (visitor.site, visitor.origin) == ("id-pk", SHOP)
    assert visitor.expires_at == arrival.expires_at == shop.world.clock.now // 1000 + 3600
    assert len(arrival.visitor) == 34
    assert arrival.visitor != other.visitor


@pytest.mark.parametrize(
    ("site", "origin", "code"),
    [
        (None, SHOP, ErrorCode.INVALID_FIELD),
        ("unknown", SHOP, ErrorCode.NOT_FOUND),
        ("off", SHOP, ErrorCode.NOT_FOUND),
        ("pk", None, ErrorCode.FORBIDDEN),
        ("pk", "null", ErrorCode.FORBIDDEN),
        ("pk", "https://evil.example", ErrorCode.FORBIDDEN),
        ("pk", "http://shop.example", ErrorCode.FORBIDDEN),
        ("pk", "https://shop.example.evil.example", ErrorCode.FORBIDDEN),
    ],
)
async def test_in_production_a_visitor_comes_from_a_sites_own_page(
    shop: Door, site: str | None, origin: str | None, code: ErrorCode
) -> None:
    """A site that was switched off is like one that never was."""
    assert await shop.refused(site=site, origin=origin) is code


async def test_a_tenant_that_was_switched_off_has_no_visitors(shop: Door) -> None:
    """Whatever its sites say."""
    tenant = Tenant(id="acme", name="Acme", disabled=True)
    await shop.world.store.internal.accounts.put_tenant(tenant)
    assert await shop.refused() is ErrorCode.NOT_FOUND


async def test_a_visitor_comes_back_as_the_same_with_another_secret_each_time(shop: Door) -> None:
    """For thirty days after the last time."""
    arrival = await shop.come()
    for _ in range(3):
        shop.world.clock.advance(30 * 86_400_000 - 1)
        again = await shop.come(arrival.renewal)
        assert again.visitor == arrival.visitor
        assert again.renewal != arrival.renewal
        arrival = again
    shop.world.clock.advance(30 * 86_400_000)
    assert await shop.refused(arrival.renewal) is ErrorCode.UNAUTHENTICATED


async def test_who_asks_again_because_the_answer_was_lost_gets_the_same_one(shop: Door) -> None:
    """For a minute; two tabs at once get the same one too, whichever is first."""
    first = await shop.come()
    tabs = await asyncio.gather(*(shop.come(first.renewal) for _ in range(5)))
    assert {(tab.visitor, tab.renewal) for tab in tabs} == {(first.visitor, tabs[0].renewal)}
    shop.world.clock.advance(59_999)
    late = await shop.come(first.renewal)
    assert late.renewal == tabs[0].renewal
    shop.world.clock.advance(1_000_000)
    assert (await shop.come(late.renewal)).visitor == first.visitor


async def test_a_copy_that_is_shown_ends_the_way_back_and_the_tokens(shop: Door) -> None:
    """Who has the copy nobody can tell: both start anew, and the tokens are void."""
    first = await shop.come()
    second = await shop.come(first.renewal)
    shop.world.clock.advance(60_000)
    assert await shop.refused(first.renewal) is ErrorCode.UNAUTHENTICATED
    assert await shop.refused(second.renewal) is ErrorCode.UNAUTHENTICATED
    user = await shop.world.store.internal.accounts.user("acme", first.visitor)
    assert user is not None
    assert (user.kind, user.sessions_from) == ("visitor", shop.world.clock.now)


@pytest.mark.parametrize(
    "renewal",
    ["", "x", "a" * 76, f"{'0' * 32}.{'A' * 43}", f"{'0' * 32}.{'A' * 43}\n", "\0", "\ud800", "é"],
)
async def test_what_is_no_renewal_secret_is_refused(shop: Door, renewal: str) -> None:
    """In the same words as one that expired."""
    assert await shop.refused(renewal) is ErrorCode.UNAUTHENTICATED


async def test_a_way_back_leads_only_to_where_it_began(shop: Door) -> None:
    """And is not spent by being tried elsewhere."""
    first = await shop.come()
    refused = await shop.refused(first.renewal, origin="https://www.shop.example")
    assert refused is ErrorCode.UNAUTHENTICATED
    assert (await shop.come(first.renewal)).visitor == first.visitor


async def test_in_development_no_site_is_needed(world: World) -> None:
    """Nor an Origin; where there is one, the visitor is bound to it."""
    door = Door(world, development=True)
    for origin in (None, "http://localhost:8000"):
        arrival = await door.come(site=None, origin=origin)
        visitor = await door.tokens.verify(arrival.token, origin=origin)
        assert (visitor.tenant, visitor.site, visitor.origin) == ("default", None, origin)
        again = await door.come(arrival.renewal, site=None, origin=origin)
        assert again.visitor == arrival.visitor
    assert await door.refused(site="unknown") is ErrorCode.NOT_FOUND


async def test_in_development_a_site_may_be_tried_from_this_machine(
    shop: Door, world: World
) -> None:
    """Whatever its own origins are."""
    door = Door(world, development=True)
    arrival = await door.come(origin="http://localhost:3000")
    visitor = await door.tokens.verify(arrival.token, origin="http://localhost:3000")
    assert (visitor.tenant, visitor.site) == ("acme", "id-pk")


async def test_without_a_secret_of_our_own_there_are_no_visitors(world: World) -> None:
    """Said with what to set."""
    assert await Door(world, development=True, secret=None).refused() is ErrorCode.FORBIDDEN


async def test_neither_a_repr_nor_a_row_holds_a_secret(shop: Door) -> None:
    """Only hashes."""
    arrival = await shop.come()
    (row,) = await shop.world.rows("SELECT * FROM renewals")
    family, secret = arrival.renewal.split(".")
    assert secret not in repr(row)
    assert arrival.token not in repr(arrival)
    assert family not in repr(arrival)
