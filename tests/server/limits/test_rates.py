"""Rates of persons and addresses."""

import time
from typing import Any

import pytest

from server.auth.policy import LIMITS
from server.auth.principal import Kind, Tier
from server.limits.options import Options
from server.limits.rates import Rates
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


def test_150_messages_in_one_second_are_too_many(clock: Clock) -> None:
    """Those beyond the burst are told how long to wait, and that is enough."""
    rates, ann = Rates(Options(), clock=clock), person("ann")
    waits = [rates.message(ann) for _ in range(150)]
    most = LIMITS[Tier.FREE].messages_per_minute
    assert waits == [0] * most + [1000] * (150 - most)
    clock.now += 1.0
    assert rates.message(ann) == 0
    assert rates.message(person("bob")) == 0
    assert rates.message(person("ann", tenant="other")) == 0


def test_a_tier_and_what_is_set_for_all_decide_the_rate(clock: Clock) -> None:
    """Visitors have the least."""

    def burst(options: Options, **fields: Any) -> int:
        rates, who = Rates(options, clock=clock), person("ann", **fields)
        return next(count for count in range(10_000) if rates.message(who))

    assert burst(Options(), kind=Kind.VISITOR) == 30
    assert burst(Options(), tier=Tier.ENTERPRISE) == 600
    assert burst(Options(messages_per_minute=7), tier=Tier.ENTERPRISE) == 7
    assert burst(Options(burst_s=15.0)) == 15
    assert burst(Options(messages_per_minute=1, burst_s=1.0)) == 1


def test_typing_has_a_rate_of_its_own(clock: Clock) -> None:
    """Who types much may still send."""
    rates, ann = Rates(Options(typing_per_minute=2), clock=clock), person("ann")
    assert [rates.typing(ann) for _ in range(3)] == [0, 0, 30_000]
    assert rates.message(ann) == 0


def test_handshakes_and_arrivals_are_counted_by_address(clock: Clock) -> None:
    """All addresses of an IPv6 customer are one."""
    options = Options(handshakes_per_minute=60, handshakes_burst=2, arrivals_per_minute=1)
    rates = Rates(options, clock=clock)
    assert [rates.handshake(f"2001:db8::{last}") for last in range(3)] == [0, 0, 1000]
    assert rates.handshake("2001:db8:0:1::1") == 0
    assert [rates.arrival(peer) for peer in ("192.0.2.1", "::ffff:192.0.2.1")] == [0, 60_000]


def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forth does not fill a bucket, an hour back does not empty it."""
    rates, ann = Rates(Options(messages_per_minute=1)), person("ann")
    start = time.time()
    assert rates.message(ann) == 0
    for jump in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: start + jump)
        assert 50_000 < rates.message(ann) <= 60_000
