"""What every record of who is connected where keeps to; see `storage.sessions`."""

import asyncio

import pytest

from storage.sessions import LEASE_MS, Seat, Seats, Session
from storage.values import Owner
from tests.contracts.seats.harness import Harness

ANN, BOB = Owner("acme", "ann"), Owner("acme", "bob")
STRANGER = Owner("other", "ann")
SLACK_MS = 2_000  # that a slow machine may take where clocks are real


def sessions(*names: str) -> list[Session]:
    """Of clients that said what they are."""
    return [Session(name, 1_790_000_000_123, "widget 1.0") for name in names]


async def everybody(seats: Seats, tenant: str, limit: int = 100) -> list[Seat]:
    """All pages."""
    page = await seats.all(tenant, limit=limit)
    found = list(page.seats)
    while page.after is not None:
        page = await seats.all(tenant, after=page.after, limit=limit)
        found += page.seats
    return found


async def test_each_learns_how_many_the_others_have(harness: Harness) -> None:
    """Of that person; their own ones they know."""
    assert await harness.one.put({ANN: sessions("s-1", "s-2")}) == {ANN: 0}
    assert await harness.other.put({ANN: sessions("s-3"), BOB: sessions("s-4")}) == {
        ANN: 2,
        BOB: 0,
    }
    assert await harness.third.put({ANN: [], BOB: [], STRANGER: []}) == {
        ANN: 3,
        BOB: 1,
        STRANGER: 0,
    }
    assert await harness.one.put({ANN: sessions("s-1")}) == {ANN: 1}
    assert await harness.third.put({ANN: []}) == {ANN: 2}


async def test_of_two_who_come_at_once_one_counts_the_other_at_least(harness: Harness) -> None:
    """So a limit is not passed by coming through all instances at the same moment."""
    for number in range(20):
        owner = Owner("acme", f"u{number}")
        counts = await asyncio.gather(
            *[each.put({owner: sessions("s")}) for each in (harness.one, harness.other)]
        )
        assert sum(count[owner] for count in counts) >= 1


async def test_a_persons_seats_are_told_with_all_there_is_to_say(harness: Harness) -> None:
    """Wherever they are, and to whichever instance asks; nobody else's."""
    await harness.one.put({ANN: sessions("s-1"), STRANGER: sessions("s-9")})
    await harness.other.put({ANN: [Session("s-2", 7)]})
    for seats in (harness.one, harness.third):
        found = sorted(await seats.of(ANN), key=lambda seat: seat.session.id)
        assert found == [
            Seat(ANN, Session("s-1", 1_790_000_000_123, "widget 1.0"), "one"),
            Seat(ANN, Session("s-2", 7, None), "other"),
        ]
    assert await harness.one.of(BOB) == []


async def test_what_is_put_replaces_what_was(harness: Harness) -> None:
    """However often; nothing is left of who has none any more."""
    for _ in range(3):
        await harness.one.put({ANN: sessions("s-1", "s-2"), BOB: sessions("s-3")})
    await harness.one.put({ANN: [], BOB: sessions("s-4")})
    assert [seat.session.id for seat in await everybody(harness.other, "acme")] == ["s-4"]


async def test_all_of_a_tenant_come_in_pages(harness: Harness) -> None:
    """Each once where nothing changes meanwhile, and none of another tenant."""
    for name, seats in (("one", harness.one), ("other", harness.other)):
        await seats.put(
            {Owner("acme", f"u{number}"): sessions(f"{name}-{number}") for number in range(300)}
        )
    await harness.one.put({STRANGER: sessions("s-9")})
    found = await everybody(harness.third, "acme", limit=50)
    names = sorted(seat.session.id for seat in found)
    assert names == sorted(f"{at}-{number}" for at in ("one", "other") for number in range(300))
    assert [seat.owner for seat in await everybody(harness.one, "other")] == [STRANGER]
    assert await everybody(harness.one, "nobody") == []


async def test_what_an_instance_told_goes_with_its_lease(harness: Harness) -> None:
    """It may have died; who renews goes on counting."""
    await harness.one.put({ANN: sessions("s-1")})
    await harness.other.put({ANN: sessions("s-2")})
    await harness.pass_time(LEASE_MS - SLACK_MS)
    await harness.third.keep(0)
    assert await harness.third.put({ANN: []}) == {ANN: 2}
    await harness.other.keep(1)
    await harness.pass_time(SLACK_MS)
    await harness.third.keep(0)
    assert await harness.third.put({ANN: []}) == {ANN: 1}
    assert [seat.instance for seat in await harness.third.of(ANN)] == ["other"]
    assert [seat.instance for seat in await everybody(harness.third, "acme")] == ["other"]


async def test_who_was_only_late_counts_again(harness: Harness) -> None:
    """What it told before is as it was."""
    await harness.one.put({ANN: sessions("s-1")})
    await harness.pass_time(LEASE_MS)
    await harness.other.keep(0)
    assert await harness.other.put({ANN: []}) == {ANN: 0}
    assert await harness.one.keep(1)
    await harness.other.keep(0)
    assert await harness.other.put({ANN: []}) == {ANN: 1}


async def test_who_leaves_counts_no_more(harness: Harness) -> None:
    """At once, for who looks."""
    await harness.one.put({ANN: sessions("s-1")})
    await harness.one.leave()
    assert await harness.other.of(ANN) == []
    await harness.other.keep(0)
    assert await harness.other.put({ANN: []}) == {ANN: 0}
    assert await harness.other.instances() == {"other": 0, "third": 0}


async def test_each_instance_says_how_many_sessions_it_has(harness: Harness) -> None:
    """With its last life sign."""
    await harness.one.keep(5)
    await harness.other.keep(7)
    assert await harness.third.instances() == {"one": 5, "other": 7, "third": 0}


async def test_what_stays_long_is_not_forgotten(harness: Harness) -> None:
    """Sockets live for days; to renew the lease is enough."""
    await harness.one.put({ANN: sessions("s-1")})
    for _ in range(100):
        await harness.pass_time(1_000)
        assert await harness.one.keep(1)
    await harness.other.keep(0)
    assert await harness.other.put({ANN: []}) == {ANN: 1}


async def test_a_loss_is_noticed(harness: Harness) -> None:
    """Within less than a minute, by who has told something; then it tells all again."""
    await harness.one.put({ANN: sessions("s-1"), BOB: sessions("s-2")})
    if not await harness.lose():
        return
    kept = []
    for _ in range(60):
        await harness.pass_time(1_000)
        kept.append(await harness.one.keep(2))
        if not kept[-1]:
            break
    assert kept[-1] is False
    await harness.one.put({ANN: sessions("s-1"), BOB: sessions("s-2")})
    await harness.other.keep(0)
    assert await harness.other.put({ANN: [], BOB: []}) == {ANN: 1, BOB: 1}
    for _ in range(60):
        await harness.pass_time(1_000)
        assert await harness.one.keep(2)


@pytest.mark.parametrize("odd", ["", " ", '"],["', "zwölf €", "\0", "x" * 500])
async def test_persons_and_clients_may_be_called_anything(harness: Harness, odd: str) -> None:
    """No two are mixed up."""
    here = {Owner(odd, "u"): sessions("s-1"), Owner("u", odd): [Session(odd, 1, odd)]}
    await harness.one.put(here)
    assert [seat.session for seat in await harness.other.of(Owner("u", odd))] == here[
        Owner("u", odd)
    ]
    assert [seat.session.id for seat in await everybody(harness.other, odd)] == ["s-1"]
