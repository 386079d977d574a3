"""Who comes in at once, and who waits here for a turn."""

import asyncio
from collections.abc import Callable

import pytest

from server.limits.pace import AT_ONCE, HELD_S, LATE_S, TICK_S
from server.limits.turns import LONGEST_S, LOOKED_S, Turn, Turns


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


def turns_of(time: Time, per_s: float, held_up: Callable[[], bool] = lambda: False) -> Turns:
    """Turns by that clock."""
    return Turns(per_s, held_up=held_up, clock=time.clock, later=time.later)


def joined(turns: Turns, count: int) -> list[Turn]:
    """Those of so many who have to wait."""
    turns_to_come = [turns.join() for _ in range(count)]
    return [turn for turn in turns_to_come if turn is not None]


async def test_who_comes_alone_does_not_wait(time: Time) -> None:
    """And a while after the last newcomer nobody looks any more how busy the loop is."""
    turns = turns_of(time, 80)
    for _ in range(100):
        assert turns.join() is None
        time.tick(times=2)
        assert len(time.calls) == 1
    assert len(turns) == 0
    time.tick(times=round(LOOKED_S / TICK_S) + 1)
    assert time.calls == []


async def test_those_who_come_in_without_waiting_are_fewer_where_the_loop_is_late(
    time: Time,
) -> None:
    """As where it takes so long to accept them that nobody ever waits."""
    turns = turns_of(time, 1000)
    count = 0
    while not joined(turns, 3):
        count += 1
        assert count < 100
        time.tick(TICK_S + 2 * LATE_S)
    assert turns.per_s < 900


async def test_those_who_come_together_come_in_one_after_the_other(time: Time) -> None:
    """In the order in which they came, a few in each turn of the loop."""
    turns = turns_of(time, 1000)
    waiting = joined(turns, 500 + 1 + AT_ONCE)
    assert len(waiting) == len(turns) == 500
    done = 0
    for _ in range(85):
        time.tick()
        assert [turn.done() for turn in waiting] == sorted(
            (turn.done() for turn in waiting), reverse=True
        )
        before, done = done, sum(turn.done() for turn in waiting)
        assert done - before <= 11
    assert all(turn.result() for turn in waiting)
    assert (len(turns), time.calls) == (0, [])


async def test_nobody_passes_those_who_wait(time: Time) -> None:
    """Also where time was saved up since the last one was let in."""
    turns = turns_of(time, 100)
    [first] = joined(turns, 12)
    time.now += 0.01  # the loop has not looked yet
    second = turns.join()
    assert second is not None
    time.tick(0)
    assert (first.done(), second.done()) == (True, False)
    time.tick()
    assert second.done()


async def test_so_many_wait_as_come_in_in_the_time_for_which_anybody_is_held(time: Time) -> None:
    """By the rate that was measured; who left makes room."""
    turns = turns_of(time, 1000)
    waiting = list[Turn]()
    while not turns.full:
        waiting += joined(turns, 1)
    assert len(turns) == HELD_S * 1000
    turns.leave(waiting[0])
    turns.leave(waiting[0])
    assert (len(turns), turns.full) == (HELD_S * 1000 - 1, False)
    for _ in range(20):
        time.tick(TICK_S + 2 * LATE_S)
    assert turns.full
    assert turns.per_s < 950
    assert not waiting[0].done()


async def test_who_left_is_let_in_no_more_and_the_next_has_the_turn(time: Time) -> None:
    """When all left, nobody is waited for."""
    turns = turns_of(time, 1)
    waiting = joined(turns, 3)
    turns.leave(waiting[0])
    time.tick(1)
    assert [turn.done() for turn in waiting] == [False, True]
    turns.leave(waiting[1])
    late = joined(turns, 1)
    turns.leave(late[0])
    time.tick(LOOKED_S)
    assert (len(turns), time.calls) == (0, [])


async def test_while_those_before_are_not_served_nobody_who_waits_is_let_in(time: Time) -> None:
    """And when they are, fewer are than before."""
    held_up = [True]
    turns = turns_of(time, 1000, lambda: held_up[0])
    waiting = joined(turns, 226)
    time.tick(times=100)
    assert not any(turn.done() for turn in waiting)
    held_up[0] = False
    time.tick(times=10)
    assert 0 < sum(turn.done() for turn in waiting) < 60


async def test_who_has_waited_long_is_told_so_before_it_gives_up(time: Time) -> None:
    """One after the other as well."""
    turns = turns_of(time, 1000, lambda: True)
    waiting = joined(turns, 100 + 1 + AT_ONCE)
    time.tick(LONGEST_S)
    assert not any(turn.done() for turn in waiting)
    time.tick(times=50)
    assert [turn.result() for turn in waiting if turn.done()] == [False] * 50
    assert len(turns) == 50


async def test_by_the_clock_of_the_running_loop_all_come_in() -> None:
    """As a process does it."""
    turns = Turns(1000, held_up=lambda: False)
    waiting = joined(turns, 100)
    async with asyncio.timeout(LONGEST_S):
        assert all(await asyncio.gather(*waiting))
    assert len(turns) == 0
