"""Who comes in at once, and who waits here for a turn."""

import asyncio
from collections.abc import Callable

import pytest

from server.limits.newcomers import (
    LONGEST_S,
    LOOKED_S,
    SENT_AWAY_AT_ONCE,
    Entry,
    Newcomers,
)
from server.limits.pace import AT_ONCE, BEGIN_PER_S, HELD_S, LATE_S, TICK_S


class Time:
    """A clock, and what it is to call later."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[Callable[[], None]] = []

    def clock(self) -> float:
        return self.now

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == TICK_S
        self.calls.append(call)

    def tick(self, seconds: float = TICK_S, times: int = 1) -> None:
        """Time passes, and then the loop has its turn."""
        for _ in range(times):
            self.now += seconds
            calls, self.calls = self.calls, []
            for call in calls:
                call()


@pytest.fixture
def time() -> Time:
    """A clock that the test moves."""
    return Time()


def newcomers_of(
    time: Time, per_s: float, held_up: Callable[[], bool] = lambda: False
) -> Newcomers:
    """Newcomers by that clock."""
    return Newcomers(per_s, held_up=held_up, clock=time.clock, later=time.later)


def joined(newcomers: Newcomers, count: int) -> list[Entry]:
    """Those of so many who have to wait."""
    entries = [newcomers.join() for _ in range(count)]
    return [entry for entry in entries if entry is not None]


async def test_who_comes_alone_does_not_wait(time: Time) -> None:
    """And a while after the last newcomer nobody looks any more how busy the loop is."""
    newcomers = newcomers_of(time, 80)
    for _ in range(100):
        assert newcomers.join() is None
        time.tick(times=2)
        assert len(time.calls) == 1
    assert len(newcomers) == 0
    time.tick(times=round(LOOKED_S / TICK_S) + 1)
    assert time.calls == []


async def test_those_who_come_in_without_waiting_are_fewer_where_the_loop_is_late(
    time: Time,
) -> None:
    """As where it takes so long to accept them that nobody ever waits."""
    newcomers = newcomers_of(time, 1000)
    count = 0
    while not joined(newcomers, 3):
        count += 1
        assert count < 100
        time.tick(TICK_S + 2 * LATE_S)
    assert newcomers.per_s < 900


async def test_those_who_come_together_come_in_one_after_the_other(time: Time) -> None:
    """In the order in which they came, a few in each turn of the loop."""
    newcomers = newcomers_of(time, 1000)
    waiting = joined(newcomers, 500 + 1 + AT_ONCE)
    assert len(waiting) == len(newcomers) == 500
    done = 0
    for _ in range(85):
        time.tick()
        assert [entry.done() for entry in waiting] == sorted(
            (entry.done() for entry in waiting), reverse=True
        )
        before, done = done, sum(entry.done() for entry in waiting)
        assert done - before <= 11
    assert all(entry.result() for entry in waiting)
    assert (len(newcomers), time.calls) == (0, [])


async def test_nobody_passes_those_who_wait(time: Time) -> None:
    """Also where time was saved up since the last one was let in."""
    newcomers = newcomers_of(time, 100)
    [first] = joined(newcomers, 12)
    time.now += 0.01  # the loop has not looked yet
    second = newcomers.join()
    assert second is not None
    time.tick(0)
    assert (first.done(), second.done()) == (True, False)
    time.tick()
    assert second.done()


async def test_so_many_wait_as_come_in_in_the_time_for_which_anybody_is_held(time: Time) -> None:
    """By the rate of now; who left makes room."""
    newcomers = newcomers_of(time, 1000)
    waiting = list[Entry]()
    while not newcomers.full:
        waiting += joined(newcomers, 1)
    assert len(newcomers) == HELD_S * BEGIN_PER_S
    newcomers.leave(waiting[0])
    newcomers.leave(waiting[0])
    assert (len(newcomers), newcomers.full) == (HELD_S * BEGIN_PER_S - 1, False)
    for _ in range(5):
        time.tick(TICK_S + 2 * LATE_S)
    assert newcomers.full
    assert newcomers.per_s < 950
    assert not waiting[0].done()


async def test_who_left_is_let_in_no_more_and_the_next_has_the_turn(time: Time) -> None:
    """When all left, nobody is waited for."""
    newcomers = newcomers_of(time, 1)
    waiting = joined(newcomers, 3)
    newcomers.leave(waiting[0])
    time.tick(1)
    assert [entry.done() for entry in waiting] == [False, True]
    newcomers.leave(waiting[1])
    late = joined(newcomers, 1)
    newcomers.leave(late[0])
    time.tick(LOOKED_S)
    assert (len(newcomers), time.calls) == (0, [])


async def test_while_those_before_are_not_served_nobody_who_waits_is_let_in(time: Time) -> None:
    """And when they are, fewer are than before."""
    held_up = [True]
    newcomers = newcomers_of(time, 1000, lambda: held_up[0])
    waiting = joined(newcomers, 226)
    time.tick(times=100)
    assert not any(entry.done() for entry in waiting)
    held_up[0] = False
    time.tick(times=10)
    assert 0 < sum(entry.done() for entry in waiting) < 60


async def test_who_has_waited_long_is_told_so_before_it_gives_up(time: Time) -> None:
    """A few at a time as well."""
    newcomers = newcomers_of(time, 1000, lambda: True)
    waiting = joined(newcomers, 100 + 1 + AT_ONCE)
    time.tick(LONGEST_S)
    assert not any(entry.done() for entry in waiting)
    time.tick(times=5)
    told = 5 * SENT_AWAY_AT_ONCE
    assert [entry.result() for entry in waiting if entry.done()] == [False] * told
    assert len(newcomers) == 100 - told


@pytest.mark.parametrize("held_up", [False, True])
@pytest.mark.parametrize("every_s", [TICK_S, TICK_S + 1.1 * LATE_S, 0.03])
async def test_nobody_waits_much_longer_however_busy_the_loop_is(
    time: Time, every_s: float, held_up: bool
) -> None:
    """Clients wait 8 s at least."""
    newcomers = newcomers_of(time, 1000, lambda: held_up)
    waiting = list[Entry]()
    while not newcomers.full:
        waiting += joined(newcomers, 1)
    time.tick(every_s, times=round((LONGEST_S + 2) / every_s))
    assert all(entry.done() for entry in waiting)


async def test_by_the_clock_of_the_running_loop_all_come_in() -> None:
    """As a process does it."""
    newcomers = Newcomers(1000, held_up=lambda: False)
    waiting = joined(newcomers, 100)
    async with asyncio.timeout(LONGEST_S):
        assert all(await asyncio.gather(*waiting))
    assert len(newcomers) == 0
