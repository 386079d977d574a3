"""Whose tokens were voided."""

from typing import cast

import pytest

from server.auth.options import Options
from server.auth.revocations import Revocations
from storage.accounts import User
from storage.errors import Unavailable
from storage.store import Accounts
from storage.values import Owner
from tests.support.people import person
from tests.support.rows import World

DAY_MS = 86_400_000


class Watch:
    """Revocations over a real store, whose clock is the wall's too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accounts = world.store.internal.accounts
        self.revocations = self.another()

    def another(self, options: Options = Options()) -> Revocations:  # noqa: B008 - it is frozen
        """As of a process that starts now."""
        return Revocations(self.accounts, options, clock=lambda: self.world.clock.now)

    async def sign_up(self, *users: str) -> None:
        for user in users:
            await self.accounts.put_user(User(tenant="acme", id=user))

    def void(self, user: str, issued_at: float | None = None) -> bool:
        issued_at = self.world.clock.now / 1000 if issued_at is None else issued_at
        return self.revocations.is_void(person(user, tenant="acme", issued_at=issued_at))


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(world)


async def test_nobody_is_void_to_begin_with(watch: Watch) -> None:
    """Nor are users whose rows merely are there."""
    await watch.sign_up("ann")
    assert await watch.revocations.refresh() == []
    assert not watch.void("ann")
    assert not watch.void("unknown")


async def test_a_person_who_is_shut_out_is_void_whatever_the_token(watch: Watch) -> None:
    """A host may go on making new ones; let in again, only new ones are good."""
    await watch.sign_up("ann", "bob")
    await watch.revocations.refresh()
    await watch.accounts.disable_user("acme", "ann", disabled=True)
    assert not watch.void("ann")
    assert await watch.revocations.refresh() == [Owner("acme", "ann")]
    assert await watch.revocations.refresh() == []
    assert watch.void("ann", 9e9)
    assert not watch.void("bob")
    assert not watch.revocations.is_void(person("ann", tenant="other"))
    watch.world.clock.advance(5000)
    await watch.accounts.disable_user("acme", "ann", disabled=False)
    await watch.revocations.refresh()
    now = watch.world.clock.now / 1000
    assert not watch.void("ann", now)
    assert watch.void("ann", now - 1)


async def test_ending_sessions_voids_the_tokens_of_before(watch: Watch) -> None:
    """By its date a token has whole seconds: the second in question counts as before."""
    await watch.sign_up("ann")
    watch.world.clock.advance(500)
    await watch.accounts.end_sessions("acme", "ann")
    await watch.revocations.refresh()
    second = watch.world.clock.now // 1000
    assert watch.void("ann", second - 100)
    assert watch.void("ann", second)
    assert not watch.void("ann", second + 1)


async def test_a_process_that_starts_learns_what_still_counts(watch: Watch) -> None:
    """Who was shut out long ago still is; a token of before yesterday has ended by itself."""
    await watch.sign_up("shut-out", "long-ago", "lately")
    await watch.accounts.disable_user("acme", "shut-out", disabled=True)
    await watch.accounts.end_sessions("acme", "long-ago")
    watch.world.clock.advance(2 * DAY_MS)
    await watch.accounts.end_sessions("acme", "lately")
    watch.revocations = watch.another()
    told = {owner.user for owner in await watch.revocations.refresh()}
    assert told == {"shut-out", "lately"}
    assert watch.void("shut-out")
    assert watch.void("lately", 0)


async def test_what_no_longer_matters_is_forgotten(watch: Watch) -> None:
    """But not who is shut out."""
    await watch.sign_up("ann", "bob")
    await watch.accounts.end_sessions("acme", "ann")
    await watch.accounts.disable_user("acme", "bob", disabled=True)
    await watch.revocations.refresh()
    assert len(watch.revocations._void) == 2
    watch.world.clock.advance(DAY_MS + 31_000)
    await watch.revocations.refresh()
    assert list(watch.revocations._void) == [Owner("acme", "bob")]


async def test_it_is_remembered_as_long_as_any_token_lives(watch: Watch) -> None:
    """A visitor's may live longer than a user's."""
    watch.revocations = watch.another(Options(token_life_s=600, visitor_life_s=3600))
    await watch.sign_up("v")
    issued_at = watch.world.clock.now / 1000 - 1
    await watch.accounts.end_sessions("acme", "v")
    for _ in range(2):
        await watch.revocations.refresh()
        assert watch.void("v", issued_at)
        watch.world.clock.advance(1_800_000)


async def test_what_another_wrote_a_moment_ago_is_not_missed(watch: Watch) -> None:
    """A transaction is seen when it commits, with the time at which it began."""
    await watch.sign_up("ann", "bob")
    await watch.accounts.end_sessions("acme", "ann")
    await watch.revocations.refresh()
    began = watch.world.clock.now - 30_000
    await watch.world.run("UPDATE users SET sessions_from = :began WHERE id = 'bob'", began=began)
    assert await watch.revocations.refresh() == [Owner("acme", "bob")]


async def test_a_store_that_is_away_takes_nothing_back(watch: Watch) -> None:
    """What was known stays so, and what happened meanwhile is learnt after."""

    class Away:
        async def ended_since(self, _: int) -> list[User]:
            raise Unavailable("gone")

    await watch.sign_up("ann", "bob")
    await watch.accounts.disable_user("acme", "ann", disabled=True)
    await watch.revocations.refresh()
    watch.revocations._accounts = cast("Accounts", Away())
    with pytest.raises(Unavailable):
        await watch.revocations.refresh()
    assert watch.void("ann")
    await watch.accounts.disable_user("acme", "bob", disabled=True)
    watch.revocations._accounts = watch.accounts
    assert await watch.revocations.refresh() == [Owner("acme", "bob")]
