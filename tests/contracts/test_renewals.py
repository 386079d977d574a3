"""Visitors' renewal secrets, and who may not use the tokens of before."""

import asyncio
from collections import Counter

import pytest
from msgspec import structs

from storage.accounts import NewRenewal, Rotation, Site, Tenant, User
from storage.errors import Conflict
from storage.store import Renewals
from tests.support.rows import World

LIFE_MS = 1_000_000
GRACE_MS = 60_000


class Visitor:
    """A visitor with a family of secrets, which are named by numbers: 1, 2, 3 …"""

    def __init__(self, world: World) -> None:
        self.world = world
        self.family = f"family-{world.tenant}"
        self.first = NewRenewal(
            family=self.family,
            hash="1",
            tenant=world.tenant,
            visitor="v",
            site="shop",
            origin="https://shop.example",
        )

    @property
    def renewals(self) -> Renewals:
        return self.world.store.internal.renewals

    async def come(self) -> None:
        await self.renewals.add(self.first, life_ms=LIFE_MS)

    async def show(self, secret: int, **other: str) -> Rotation:
        """Show a secret; the next one is always its successor, as with Parley's own."""
        shown = structs.replace(self.first, hash=str(secret), visitor="", **other)
        rotation, renewal = await self.renewals.rotate(
            shown, next=str(secret + 1), life_ms=LIFE_MS, grace_ms=GRACE_MS
        )
        assert (renewal is None) == (rotation is Rotation.UNKNOWN)
        assert renewal is None or renewal.visitor == "v"
        return rotation


@pytest.fixture
async def visitor(world: World) -> Visitor:
    visitor = Visitor(world)
    await visitor.come()
    return visitor


async def test_each_secret_is_replaced_at_its_use(visitor: Visitor) -> None:
    """And lives on from then."""
    for secret in (1, 2, 3):
        visitor.world.clock.advance(LIFE_MS - 1)
        assert await visitor.show(secret) is Rotation.GRANTED
    visitor.world.clock.advance(LIFE_MS)
    assert await visitor.show(4) is Rotation.UNKNOWN


async def test_the_secret_before_is_good_for_a_grace_and_changes_nothing(visitor: Visitor) -> None:
    """Its answer may have been lost, or two tabs came at once; both have the same next one."""
    await visitor.show(1)
    visitor.world.clock.advance(GRACE_MS - 1)
    assert await visitor.show(1) is Rotation.GRANTED
    assert await visitor.show(2) is Rotation.GRANTED


@pytest.mark.parametrize("copy", [1, 2, 99])
async def test_any_other_secret_of_the_family_ends_it(visitor: Visitor, copy: int) -> None:
    """Who of the two is the thief nobody can tell, so neither comes back."""
    await visitor.show(1)
    await visitor.show(2)
    visitor.world.clock.advance(GRACE_MS)
    assert await visitor.show(copy) is Rotation.REPLAYED
    for secret in (1, 2, 3, 4):
        assert await visitor.show(secret) is Rotation.UNKNOWN


async def test_a_secret_that_is_two_uses_old_ends_the_family_at_once(visitor: Visitor) -> None:
    """The grace is for the one before alone."""
    await visitor.show(1)
    await visitor.show(2)
    assert await visitor.show(1) is Rotation.REPLAYED


@pytest.mark.parametrize("field", ["family", "tenant", "site", "origin"])
async def test_a_secret_is_bound_to_where_it_was_given(visitor: Visitor, field: str) -> None:
    """Shown elsewhere it is unknown, and stays good where it belongs."""
    for secret in (1, 99):
        assert await visitor.show(secret, **{field: "other"}) is Rotation.UNKNOWN
    assert await visitor.show(1) is Rotation.GRANTED


async def test_of_many_who_show_a_secret_at_once_all_get_the_same_next(visitor: Visitor) -> None:
    """One replaces it, the others come within the grace."""
    for secret in range(1, 6):
        shown = await asyncio.gather(*(visitor.show(secret) for _ in range(10)))
        assert Counter(shown) == {Rotation.GRANTED: 10}
        rows = await visitor.world.rows(
            "SELECT hash, previous_hash FROM renewals WHERE family = :family",
            family=visitor.family,
        )
        assert rows == [{"hash": str(secret + 1), "previous_hash": str(secret)}]


async def test_what_expired_is_forgotten(visitor: Visitor) -> None:
    """What did not is kept."""
    await visitor.renewals.prune()
    assert await visitor.show(1) is Rotation.GRANTED
    visitor.world.clock.advance(LIFE_MS)
    await visitor.renewals.prune()
    found = await visitor.world.rows(
        "SELECT family FROM renewals WHERE family = :family", family=visitor.family
    )
    assert found == []


async def test_a_family_is_made_once(visitor: Visitor) -> None:
    """Its name is random; the same again is a fault."""
    with pytest.raises(Conflict):
        await visitor.come()


def test_no_repr_shows_a_secret() -> None:
    """Not even its hash."""
    shown = repr(NewRenewal(family="family", hash="hash", tenant="t"))
    assert [word for word in ("family", "hash") if word in shown] == []


async def test_whose_sessions_were_ended_is_found_by_when(world: World) -> None:
    """Those shut out too, and those let in again."""
    accounts = world.store.internal.accounts
    for id in ("a", "b", "c", "d"):
        await accounts.put_user(User(tenant=world.tenant, id=id))
    await accounts.end_sessions(world.tenant, "a")
    world.clock.advance(1000)
    since = world.clock.now
    await accounts.disable_user(world.tenant, "b", disabled=True)
    world.clock.advance(1000)
    await accounts.disable_user(world.tenant, "c", disabled=False)
    ended = [user for user in await accounts.ended_since(since) if user.tenant == world.tenant]
    assert [(user.id, user.disabled) for user in ended] == [("b", True), ("c", False)]
    shut_out = [user.id for user in await accounts.disabled() if user.tenant == world.tenant]
    assert shut_out == ["b"]


async def test_origins_are_those_of_sites_that_are_served(world: World) -> None:
    """Not of those that were switched off, alone or with their tenant."""
    accounts, name = world.store.internal.accounts, world.tenant
    origins = {key: f"https://{key}.{name}.example" for key in ("on", "off", "gone")}
    for tenant, disabled in ((name, False), (f"{name}-gone", True)):
        await accounts.put_tenant(Tenant(id=tenant, name=tenant, disabled=disabled))
    for site, tenant, disabled in (
        ("on", name, False),
        ("off", name, True),
        ("gone", f"{name}-gone", False),
    ):
        await accounts.put_site(
            Site(
                tenant=tenant,
                id=site,
                public_key=f"{site}-{name}",
                name=site,
                origins=(origins[site],),
                disabled=disabled,
            )
        )
    assert (await accounts.origins()).intersection(origins.values()) == {origins["on"]}
