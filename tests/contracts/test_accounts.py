"""Tenants, sites, users and keys."""

import asyncio

import pytest
from msgspec import Raw, structs

from storage.accounts import Key, Site, Tenant, User, UserKind
from storage.errors import Conflict, NotFound
from tests.support.rows import World

ROUNDS = 20


async def test_putting_twice_is_putting_once(world: World) -> None:
    """The last word counts."""
    accounts = world.store.internal.accounts
    tenant = Tenant(id=world.tenant, name="a", settings=Raw(b'{"x":1}'))
    await accounts.put_tenant(tenant)
    await accounts.put_tenant(structs.replace(tenant, name="b", disabled=True))
    assert await accounts.tenant(world.tenant) == structs.replace(tenant, name="b", disabled=True)
    assert [one.id for one in await accounts.tenants()].count(world.tenant) == 1
    site = Site(
        tenant=world.tenant, id="s", public_key=f"key-{world.tenant}", name="Shop", origins=("a",)
    )
    await accounts.put_site(site)
    await accounts.put_site(structs.replace(site, origins=("https://a.example", "b")))
    found = await accounts.site_by_key(site.public_key)
    assert found == structs.replace(site, origins=("https://a.example", "b"))
    assert await accounts.sites(world.tenant) == [found]
    assert await accounts.site_by_key("unknown") is None


async def test_a_site_belongs_to_a_tenant_that_is_there(world: World) -> None:
    """And its key names no other site."""
    site = Site(tenant=world.tenant, id="s", public_key=f"key-{world.tenant}", name="Shop")
    with pytest.raises(Conflict):
        await world.store.internal.accounts.put_site(site)


async def test_a_person_is_updated_by_what_is_known_of_them(world: World) -> None:
    """A visit that names no address does not forget it, and lets nobody back in."""
    accounts = world.store.internal.accounts
    person = User(
        tenant=world.tenant, id="u", name="Ann", email="Ann@example.com", roles=("admin",)
    )
    made = await accounts.put_user(person)
    assert made == structs.replace(person, created_at=world.clock.now)
    world.clock.advance(1000)
    shut_out = await accounts.disable_user(world.tenant, "u", disabled=True)
    assert (shut_out.disabled, shut_out.sessions_from) == (True, world.clock.now)
    again = await accounts.put_user(User(tenant=world.tenant, id="u", tier="enterprise"))
    assert (again.name, again.email, again.tier) == ("Ann", "Ann@example.com", "enterprise")
    assert (again.disabled, again.sessions_from, again.roles) == (True, world.clock.now, ("user",))


async def test_ending_sessions_voids_what_was_issued_before(world: World) -> None:
    """And shuts nobody out."""
    accounts = world.store.internal.accounts
    await accounts.put_user(User(tenant=world.tenant, id="u", kind=UserKind.VISITOR))
    ended = await accounts.end_sessions(world.tenant, "u")
    assert (ended.sessions_from, ended.disabled) == (world.clock.now, False)
    for unknown in (
        accounts.end_sessions(world.tenant, "nobody"),
        accounts.disable_user(world.tenant, "nobody", disabled=True),
    ):
        with pytest.raises(NotFound):
            await unknown
    assert await accounts.user(world.tenant, "nobody") is None


async def test_an_address_signs_in_one_person_whatever_its_case(world: World) -> None:
    """Without a password it signs in nobody, and may be told by many."""
    accounts = world.store.internal.accounts
    for id in ("a", "b"):
        await accounts.put_user(User(tenant=world.tenant, id=id, email="x@example.com"))
    assert await accounts.user_by_login(world.tenant, "x@example.com") is None
    await accounts.put_user(
        User(tenant=world.tenant, id="a", email="X@example.com", password_hash="h")
    )
    found = await accounts.user_by_login(world.tenant, "x@EXAMPLE.com")
    assert found is not None
    assert found.id == "a"
    with pytest.raises(Conflict):
        await accounts.put_user(
            User(tenant=world.tenant, id="b", email="x@example.com", password_hash="h")
        )


async def test_a_key_is_good_until_it_expires_or_is_revoked(world: World) -> None:
    """By the database's clock; what it was stays on the list."""
    accounts = world.store.internal.accounts
    key = Key(
        tenant=world.tenant,
        id="k",
        hash=f"hash-{world.tenant}",
        name="ci",
        user="u",
        scopes=("chat",),
        expires_at=world.clock.now + 1000,
    )
    await accounts.add_key(key)
    await accounts.add_key(structs.replace(key, id="l", hash=f"h2-{world.tenant}", expires_at=None))
    found = await accounts.key_by_hash(key.hash)
    assert found == structs.replace(key, created_at=world.clock.now)
    world.clock.advance(1000)
    assert await accounts.key_by_hash(key.hash) is None
    assert await accounts.key_by_hash(f"h2-{world.tenant}") is not None
    await accounts.revoke_key(world.tenant, "l")
    assert await accounts.key_by_hash(f"h2-{world.tenant}") is None
    assert [(one.id, one.revoked_at) for one in await accounts.keys(world.tenant)] == [
        ("k", None),
        ("l", world.clock.now),
    ]
    with pytest.raises(NotFound):
        await accounts.revoke_key(world.tenant, "unknown")


async def test_a_visitor_who_signs_in_takes_along_what_was_said_and_sent(world: World) -> None:
    """Ids included: what was sent before is recognised after. The user's own ids stay theirs."""
    ask, theirs = world.ask("as a visitor"), world.ask("as a user")
    theirs = structs.replace(theirs, once=structs.replace(ask.once, id="both"))
    sent = await world.store.sending.send(world.owner, ask)
    shared = structs.replace(ask, once=structs.replace(ask.once, id="both", body="visitor's"))
    await world.store.sending.send(world.owner, shared)
    own = await world.store.sending.send(world.neighbour, theirs)
    await world.store.feedback.save(world.owner, world.once(), sent.answer, rating="up")
    await world.store.internal.accounts.become(world.tenant, "ann", "bob")
    again = await world.store.sending.send(world.neighbour, ask)
    assert (again.duplicate, again.message) == (True, sent.message)
    assert (await world.store.sending.send(world.neighbour, theirs)).message == own.message
    assert (await world.store.conversations.list(world.neighbour)).total == 3
    assert (await world.store.conversations.list(world.owner)).total == 0
    message = await world.store.history.message(world.neighbour, sent.answer)
    assert message.feedback is not None


async def test_the_tokens_of_a_visitor_who_signed_in_are_void(world: World) -> None:
    """Those of before; whether they had a row or not, and whatever it said."""
    accounts = world.store.internal.accounts
    await accounts.put_user(User(tenant=world.tenant, id="cid", name="Cid", disabled=True))
    for visitor in ("ann", "cid"):
        world.clock.advance(1000)
        await accounts.become(world.tenant, visitor, "bob")
    found = await accounts.ended_since(world.clock.now - 1000)
    ended = [each for each in found if each.tenant == world.tenant]
    assert [(each.id, each.kind, each.name, each.disabled) for each in ended] == [
        ("ann", UserKind.VISITOR, None, False),
        ("cid", UserKind.USER, "Cid", True),
    ]
    assert [each.sessions_from for each in ended] == [world.clock.now - 1000, world.clock.now]


async def test_what_a_visitor_sends_while_signing_in_is_known_wherever_it_ends_up(
    world: World,
) -> None:
    """The message and its id go to the user together, or neither was ever stored."""
    for _ in range(ROUNDS):
        first = await world.exchange()
        asks = [world.ask(conversation=first.conversation, max_queued=9) for _ in range(4)]
        *_, moved = await asyncio.gather(
            *(world.store.sending.send(world.owner, ask) for ask in asks),
            world.store.internal.accounts.become(world.tenant, "ann", "bob"),
            return_exceptions=True,
        )
        assert moved is None
        stored = 0
        for ask in asks:
            known = await world.store.sending.recall(world.neighbour, ask.once)
            stored += known is not None
            assert await world.store.sending.recall(world.owner, ask.once) is None
        conversation = await world.store.conversations.get(world.neighbour, first.conversation)
        assert conversation.message_count == 2 + 2 * stored


def test_no_repr_shows_what_would_let_somebody_in() -> None:
    """Nor an address: it may be printed wherever a person is."""
    shown = repr(User(tenant="t", id="u", name="Ann", email="a@b", password_hash="hash"))
    shown += repr(Key(tenant="t", id="k", hash="hash", name="ci", user="u", scopes=()))
    assert [word for word in ("Ann", "a@b", "hash") if word in shown] == []
