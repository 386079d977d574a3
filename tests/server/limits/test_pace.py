"""How quickly newcomers are let in, and when the others are to come again."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.limits.pace import (
    AT_ONCE,
    AT_ONCE_S,
    BEGIN_PER_S,
    HELD_S,
    LEAST_PER_S,
    LINE_S,
    TICK_S,
    UNUSED_S,
    Pace,
    Waitlist,
)

BEGAN = 100.0


def let_in(pace: Pace, looks: Iterable[tuple[float, bool]]) -> list[int]:
    """How many at each look, at these times, in time or late."""
    counts = []
    for now, late in looks:
        pace.pass_to(now, late=late)
        count = 0
        while pace.take():
            count += 1
        counts.append(count)
    return counts


def looks(
    began: float, seconds: float, *, late: bool = False, every_s: float = TICK_S
) -> list[tuple[float, bool]]:
    """Looks for so long."""
    return [(began + (n + 1) * every_s, late) for n in range(round(seconds / every_s))]


@pytest.mark.parametrize("per_s", [1, 8, 80, 1000])
def test_the_rate_that_is_set_is_reached_and_never_passed(per_s: int) -> None:
    """A few at a time."""
    pace = Pace(per_s, BEGAN)
    let_in(pace, looks(BEGAN, 1))
    counts = let_in(pace, looks(BEGAN + 1, 10))
    first = 1 + UNUSED_S * per_s
    assert 10 * per_s - 1 <= sum(counts) <= 10 * per_s + first
    assert max(counts[1:]) <= per_s // 100 + 1


def test_looks_that_come_late_by_less_let_in_as_many() -> None:
    """A loop that is slow to wake, as on a busy machine, does not make the line slower."""
    pace = Pace(80, BEGAN)
    assert sum(let_in(pace, looks(BEGAN, 10, every_s=0.08))) >= 790


def test_a_loop_that_does_not_keep_up_lets_in_fewer_and_more_again_once_it_does() -> None:
    """Down to a floor within a second or two, and in one second without lateness to the top."""
    pace = Pace(1000, BEGAN)
    let_in(pace, looks(BEGAN, 2, late=True, every_s=0.03))
    assert pace.per_s == LEAST_PER_S
    assert LEAST_PER_S <= pace.measured_per_s < 500
    let_in(pace, looks(BEGAN + 2, 1))
    assert pace.per_s == pytest.approx(1000)
    assert pace.measured_per_s < 1000


def test_after_a_rest_the_first_come_at_a_moderate_pace() -> None:
    """Nothing is left of the storm before, nor is time saved up; then the rate grows again."""
    pace = Pace(1000, BEGAN)
    let_in(pace, looks(BEGAN, 2, late=True))
    again = BEGAN + 7200
    [at_once] = let_in(pace, [(again, False)])
    assert (pace.per_s, pace.measured_per_s) == (BEGIN_PER_S, 1000)
    assert at_once <= 1 + AT_ONCE
    let_in(pace, looks(again, 1))
    assert pace.per_s == 1000


def test_a_rate_that_is_set_low_is_the_most_after_a_rest_too() -> None:
    """Not the moderate one."""
    pace = Pace(80, BEGAN)
    let_in(pace, [(BEGAN + 7200, False)])
    assert pace.per_s == pace.measured_per_s == 80


def test_a_low_rate_is_hardly_lowered() -> None:
    """For what is so little is not what holds up the loop; and one a second is the least."""
    pace = Pace(80, BEGAN)
    every_other = [(now, n % 2 == 0) for n, (now, _) in enumerate(looks(BEGAN, 10))]
    assert sum(let_in(pace, every_other)) > 10 * 80 * 0.9
    slow = Pace(1, BEGAN)
    assert sum(let_in(slow, looks(BEGAN, 10, late=True))) >= 10


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.floats(-5, 5), st.booleans()), max_size=100),
)
def test_the_pace_stays_within_its_bounds_whatever_the_clock_does(
    most: int, steps: list[tuple[float, bool]]
) -> None:
    """Also where it stands still, jumps, or goes back; then nobody comes in for that."""
    pace, now, passed, total = Pace(most, BEGAN), BEGAN, 0.0, 0
    for step, late in steps:
        now, passed = now + step, passed + max(0.0, step)
        [count] = let_in(pace, [(now, late)])
        total += count
        assert count <= 1 + max(AT_ONCE, AT_ONCE_S * most)
        assert min(LEAST_PER_S, most) <= pace.per_s <= most
        assert min(LEAST_PER_S, most) - 1e-6 <= pace.measured_per_s <= most + 1e-6
    assert total <= passed * most + 1 + UNUSED_S * most + 1e-6


def test_the_line_of_those_who_were_sent_away_has_an_end() -> None:
    """However many there are, nobody is told of more, and it empties while nobody comes."""
    waitlist = Waitlist()
    told = [waitlist.stand(BEGAN, 100) for _ in range(10_000)]
    assert (min(told), max(told)) == (1, LINE_S - 1)
    assert waitlist.stand(1000.0, 100) == 1


def test_who_is_sent_away_finds_the_line_where_it_was_told() -> None:
    """Each second as many as come in in one, less than the line that waits here before its turn."""
    waitlist = Waitlist()
    places = [BEGAN + HELD_S + number / 100 for number in range(1000)]
    told = [waitlist.stand(BEGAN, 100) for _ in places]
    waits = [place - BEGAN - wait for place, wait in zip(places, told, strict=True)]
    assert min(waits) > 0.2
    assert max(waits) < HELD_S - 0.2
    assert [told.count(second) for second in (2, 3, 4)] == [100, 100, 100]


def test_a_line_that_moves_slower_than_was_thought_is_told_so_from_then_on() -> None:
    """Whoever is sent away again comes behind all who were told before."""
    waitlist = Waitlist()
    before = [waitlist.stand(BEGAN, 1000) for _ in range(10_000)]
    assert max(before) == 11
    again = [waitlist.stand(BEGAN + 1, 350) for _ in range(650)]
    assert (min(again), max(again)) == (10, 12)
