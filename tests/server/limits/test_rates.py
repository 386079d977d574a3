"""Rates of persons and addresses."""

import time
from typing import Any

import pytest

from server.auth.policy import LIMITS
from server.auth.principal import Kind, Tier
from server.limits.options import Options
from server.limits.rates import Rates
from storage.bucket import Rate
from storage.errors import Unavailable
from storage.memory.counters import MemoryCounters
from tests.support.people import person


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_150_messages_in_one_second_are_too_many(clock: Clock) -> None:
    """Those beyond the burst are told how long to wait, and that is enough."""
    rates, ann = Rates(Options(), clock=clock), person("ann")
    waits = [await rates.message(ann) for _ in range(150)]
    most = LIMITS[Tier.FREE].messages_per_minute
    assert waits == [0] * most + [1000] * (150 - most)
    clock.now += 1.0
    assert await rates.message(ann) == 0
    assert await rates.message(person("bob")) == 0
    assert await rates.message(person("ann", tenant="other")) == 0


async def test_a_tier_and_what_is_set_for_all_decide_the_rate(clock: Clock) -> None:
    """Visitors have the least."""

    async def burst(options: Options, **fields: Any) -> int:
        rates, who, count = Rates(options, clock=clock), person("ann", **fields), 0
        while not await rates.message(who):
            count += 1
        return count

    assert await burst(Options(), kind=Kind.VISITOR) == 30
    assert await burst(Options(), tier=Tier.ENTERPRISE) == 600
    assert await burst(Options(messages_per_minute=7), tier=Tier.ENTERPRISE) == 7
    assert await burst(Options(burst_s=15.0)) == 15
    assert await burst(Options(messages_per_minute=1, burst_s=1.0)) == 1


async def test_typing_has_a_rate_of_its_own(clock: Clock) -> None:
    """Who types much may still send."""
    rates, ann = Rates(Options(typing_per_minute=2), clock=clock), person("ann")
    assert [rates.typing(ann) for _ in range(3)] == [0, 0, 30_000]
    assert await rates.message(ann) == 0


class Shared(MemoryCounters):
    """Counters that may be out of reach, and what they were asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(100, clock)
        self.away = False
        self.asked: list[str] = []

    async def take(self, name: str, rate: Rate) -> float:
        self._reach(name)
        return await super().take(name, rate)

    async def give_back(self, name: str, rate: Rate) -> None:
        self._reach(name)
        await super().give_back(name, rate)

    def _reach(self, name: str) -> None:
        self.asked.append(name)
        if self.away:
            raise Unavailable("away")


FIVE = Options(messages_per_minute=5)


async def test_what_was_sent_through_another_instance_counts(clock: Clock) -> None:
    """A person has one allowance, whichever instances they are connected to."""
    shared, ann = Shared(clock), person("ann")
    one, other = (Rates(FIVE, shared=shared, clock=clock) for _ in range(2))
    assert [await rates.message(ann) for rates in (one, one, other, other, one)] == [0] * 5
    assert [await rates.message(ann) for rates in (one, other)] == [12_000] * 2
    await one.message_again(ann)
    assert [await rates.message(ann) for rates in (other, one)] == [0, 12_000]
    clock.now += 12
    assert [await rates.message(ann) for rates in (one, other)] == [0, 12_000]
    assert await other.message(person("bob")) == 0


async def test_while_the_others_cannot_be_asked_an_instance_keeps_its_own_limit(
    clock: Clock,
) -> None:
    """It knows what was sent through it before; nobody has more than the limit of each."""
    shared, ann = Shared(clock), person("ann")
    one, other = (Rates(FIVE, shared=shared, clock=clock) for _ in range(2))
    assert [await one.message(ann) for _ in range(3)] == [0] * 3
    shared.away = True
    assert [await one.message(ann) for _ in range(3)] == [0, 0, 12_000]
    assert [await other.message(ann) for _ in range(6)] == [0] * 5 + [12_000]
    await other.message_again(ann)
    assert [await other.message(ann) for _ in range(2)] == [0, 12_000]
    shared.away = False
    assert await one.message(ann) == 12_000


async def test_who_sends_far_too_much_costs_the_others_nothing(clock: Clock) -> None:
    """And no name of a person stands in what they are asked."""
    shared, ann = Shared(clock), person("ann@example.org")
    rates = Rates(FIVE, shared=shared, clock=clock)
    for _ in range(1000):
        await rates.message(ann)
    assert len(shared.asked) == 5
    assert "ann" not in shared.asked[0]
    other = person("ann@example.org", tenant="other")
    assert await rates.message(other) == 0
    assert shared.asked[-1] != shared.asked[0]


def test_handshakes_and_arrivals_are_counted_by_address(clock: Clock) -> None:
    """All addresses of an IPv6 customer are one."""
    options = Options(handshakes_per_minute=60, handshakes_burst=2, arrivals_per_minute=1)
    rates = Rates(options, clock=clock)
    assert [rates.handshake(f"2001:db8::{last}") for last in range(3)] == [0, 0, 1000]
    assert rates.handshake("2001:db8:0:1::1") == 0
    assert [rates.arrival(peer) for peer in ("192.0.2.1", "::ffff:192.0.2.1")] == [0, 60_000]


async def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forth does not fill a bucket, an hour back does not empty it."""
    rates, ann = Rates(Options(messages_per_minute=1)), person("ann")
    start = time.time()
    assert await rates.message(ann) == 0
    for jump in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: start + jump)
        assert 50_000 < await rates.message(ann) <= 60_000


def test_reading_and_changing_over_http_have_rates_of_their_own(clock: Clock) -> None:
    """Counted here, for each person; typing and messages are other ones."""
    rates = Rates(Options(reads_per_minute=60, changes_per_minute=6), clock=clock)
    ann, bob = person("ann").owner, person("bob").owner
    assert [rates.read(ann) for _ in range(61)] == [0] * 60 + [1000]
    assert [rates.change(ann) for _ in range(7)] == [0] * 6 + [10_000]
    assert (rates.read(bob), rates.change(bob), rates.typing(person("ann"))) == (0, 0, 0)
    clock.now += 1.0
    assert (rates.read(ann), rates.change(ann)) == (0, 9000)
