"""Not asking again and again who does not answer."""

import pytest

from storage.redis.breaker import Breaker

PAUSE_S = 0.25


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(PAUSE_S, clock)


def test_one_late_answer_opens_nothing(breaker: Breaker) -> None:
    """It may be our own loop that was busy."""
    breaker.failed()
    assert not breaker.is_open
    assert breaker.lets_through()


def test_two_late_answers_in_a_row_open_it(breaker: Breaker) -> None:
    """Then calls are spared."""
    breaker.failed()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.lets_through()


def test_an_answer_between_two_late_ones_counts(breaker: Breaker) -> None:
    """They are not in a row."""
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open


def test_a_refused_connection_opens_it_at_once(breaker: Breaker) -> None:
    """There is nothing to be mistaken about."""
    breaker.failed(surely=True)
    assert breaker.is_open


def test_in_each_pause_one_call_tries(breaker: Breaker, clock: Clock) -> None:
    """And no other beside it, however long it takes."""
    breaker.failed(surely=True)
    for _ in range(3):
        clock.now += PAUSE_S
        assert [breaker.lets_through() for _ in range(3)] == [True, False, False]


def test_who_tries_in_vain_begins_another_pause(breaker: Breaker, clock: Clock) -> None:
    """From then on, since the call took its time."""
    breaker.failed(surely=True)
    clock.now += PAUSE_S
    assert breaker.lets_through()
    clock.now += 1.0
    breaker.failed()
    assert breaker.is_open
    assert not breaker.lets_through()
    clock.now += PAUSE_S
    assert breaker.lets_through()


def test_an_answer_closes_it(breaker: Breaker, clock: Clock) -> None:
    """Be it of the call that tries, or of one from before that comes only now."""
    breaker.failed(surely=True)
    clock.now += PAUSE_S
    assert breaker.lets_through()
    breaker.succeeded()
    assert not breaker.is_open
    assert [breaker.lets_through() for _ in range(3)] == [True, True, True]
