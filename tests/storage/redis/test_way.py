"""What is told of a server that does not serve."""

import pytest

from storage.redis.breaker import Breaker
from storage.redis.way import REASON_CHARACTERS, Way


@pytest.fixture
def told() -> list[str | None]:
    """What was told, in order."""
    return []


@pytest.fixture
def way(told: list[str | None]) -> Way:
    """One that tells it there."""
    return Way(Breaker(), 1, told.append)


def test_one_late_answer_is_not_told(way: Way, told: list[str | None]) -> None:
    """It may be our own fault."""
    way.silent("late")
    way.answered()
    assert told == []
    assert way.serves


def test_an_absence_is_told_when_it_begins_and_when_it_ends(
    way: Way, told: list[str | None]
) -> None:
    """Not at each call, and with the first reason."""
    for why in ("late", "late", "gone"):
        way.silent(why)
    assert not way.serves
    way.answered()
    way.answered()
    assert told == ["late", None]
    way.silent("gone", surely=True)
    assert told == ["late", None, "gone"]


def test_a_full_one_is_told_once_though_it_answers_what_stores_nothing(
    way: Way, told: list[str | None]
) -> None:
    """It serves again when it has room, and not before."""
    for _ in range(3):
        way.ran_full("no memory")
        way.answered()
    states = [way.serves]
    way.has_room()
    states.append(way.serves)
    assert states == [False, True]
    assert told == ["no memory", None]


def test_one_that_is_away_while_it_is_full_serves_when_neither_is_so(
    way: Way, told: list[str | None]
) -> None:
    """Both reasons are told, and one end."""
    way.ran_full("no memory")
    way.silent("gone", surely=True)
    way.answered()
    assert told == ["no memory", "gone"]
    way.has_room()
    assert told == ["no memory", "gone", None]


def test_each_kind_of_refusal_is_told_once(way: Way, told: list[str | None]) -> None:
    """Other calls may be answered between two of them; after an absence it is told again."""
    for why in ("no permission for a", "no permission for b"):
        way.refused("NoPermissionError", why)
        way.answered()
    assert way.serves
    way.refused("ReadOnlyError", "a replica")
    assert told == ["no permission for a", "a replica"]
    way.silent("gone", surely=True)
    way.answered()
    way.refused("NoPermissionError", "no permission for a")
    assert told[2:] == ["gone", None, "no permission for a"]


def test_a_reason_is_short(way: Way, told: list[str | None]) -> None:
    """It goes into one line of a log."""
    way.refused("ResponseError", "x" * 1000)
    assert told == ["x" * REASON_CHARACTERS]
