"""Not asking again and again who does not answer."""

import pytest

from storage.redis.breaker import Breaker


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


def test_one_late_answer_opens_nothing(breaker: Breaker) -> None:
    """It may be our own loop that was busy."""
    breaker.failed()
    assert not breaker.is_open


def test_two_late_answers_in_a_row_open_it(breaker: Breaker) -> None:
    """Then calls are spared."""
    breaker.failed()
    breaker.failed()
    assert breaker.is_open


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


def test_it_stays_open_until_there_is_an_answer(breaker: Breaker) -> None:
    """Be it that of a call from before, which comes only now."""
    breaker.failed(surely=True)
    breaker.failed()
    assert breaker.is_open
    breaker.succeeded()
    assert not breaker.is_open
