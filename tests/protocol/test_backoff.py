"""Delays spread clients out, grow while a server is in trouble, and honour what it says."""

import random

import pytest

from protocol.backoff import MOST_S, STEADY_S, Backoff, delay_s


@pytest.mark.parametrize("failures", [0, 1, 2, 6, 7, 8, 1000])
def test_a_delay_lies_between_nothing_and_a_bound_that_doubles(failures: int) -> None:
    """Invariant 30: [0, min(60 s, 0.5 s · 2ⁿ)), and no overflow however long it lasts."""
    bound = min(60.0, 0.5 * 2 ** min(failures, 30))
    assert delay_s(failures, 0.0) == 0.0
    assert delay_s(failures, 0.5) == bound / 2
    assert delay_s(failures, 0.999999) < bound


def test_a_thousand_clients_do_not_come_back_in_step() -> None:
    """Their delays are uniform: Kolmogorov and Smirnov find no difference (5 % level)."""
    dice = random.Random(30)
    delays = sorted(delay_s(3, dice.random()) / 4.0 for _ in range(1000))
    distance = max(abs((rank + 1) / 1000 - delay) for rank, delay in enumerate(delays))
    assert distance < 1.36 / 1000**0.5


def test_only_a_connection_that_lasted_counts_as_a_success() -> None:
    """Else a server that dies of us would be asked again at once, for ever."""
    backoff = Backoff()
    waits = []
    for now in (0.0, 10.0, 20.0):
        backoff.opened(now)
        waits.append(backoff.lost(now + STEADY_S - 0.1, 0.5))
    assert waits == [0.25, 0.5, 1.0]
    backoff.opened(100.0)
    assert backoff.lost(100.0 + STEADY_S, 0.5) == 0.25


def test_a_connection_that_never_opened_is_a_failure_however_long_it_took() -> None:
    """The last success does not count twice."""
    backoff = Backoff()
    backoff.opened(0.0)
    assert backoff.lost(100.0, 0.5) == 0.25
    assert backoff.lost(500.0, 0.5) == 0.5


def test_in_the_long_run_there_is_about_one_attempt_a_minute() -> None:
    """Whatever the rhythm in which connections are made and lost, with the worst of luck."""
    for lasts in (0.0, 1.0, STEADY_S - 1, STEADY_S):
        backoff, now, attempts = Backoff(), 0.0, 0
        while now < 6000.0:
            attempts += 1
            backoff.opened(now)
            now += lasts
            now += backoff.lost(now, 0.5)
        assert attempts <= 6000 / (MOST_S / 2) + 10


def test_a_named_time_overrides_our_own_but_does_not_undercut_it() -> None:
    """`goaway` and `Retry-After` spread clients; a named 0 must not make a tight loop."""
    backoff = Backoff()
    backoff.named(30.0)
    assert backoff.lost(10.0, 0.5) == 20.0
    backoff.named(5.0)
    assert backoff.not_before == 30.0
    assert backoff.lost(40.0, 0.5) == 0.5
    assert "failures=2" in repr(backoff)
