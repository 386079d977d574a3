"""A loop that is held is noticed while it is, and remembered for a while."""

import asyncio
import time

import pytest

from server.limits.watchdog import Held, Watchdog
from tests.support.logs import logging_to_memory
from tests.support.waiting import until


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def beaten(watchdog: Watchdog, clock: Clock, *late_s: float) -> None:
    """Beats that come so much later than they should."""
    for late in late_s:
        clock.now += 0.25 + late
        watchdog.beat()


async def test_who_was_held_is_not_ready_until_it_has_been_smooth(clock: Clock) -> None:
    """A beat that is a little late is nothing, and neither was there anything at the start."""
    watchdog = Watchdog(2.0, 5.0, clock=clock)
    await watchdog.ask()
    beaten(watchdog, clock, 0.0, 1.9, 0.1)
    await watchdog.ask()
    assert watchdog.times == 0
    assert watchdog.longest_s == pytest.approx(1.9)
    beaten(watchdog, clock, 3.0)
    with pytest.raises(Held, match=r"held 1 times, 3\.0 s at most"):
        await watchdog.ask()
    beaten(watchdog, clock, *[0.0] * 19)
    with pytest.raises(Held):
        await watchdog.ask()
    beaten(watchdog, clock, 0.0)
    await watchdog.ask()
    assert watchdog.times == 1


def test_each_hold_is_told_once_while_it_lasts_and_once_when_it_is_over(clock: Clock) -> None:
    """However often the thread looks."""
    watchdog = Watchdog(2.0, 5.0, clock=clock)
    with logging_to_memory() as log:
        for _ in range(2):
            for _ in range(4):
                clock.now += 1.0
                watchdog.look()
            beaten(watchdog, clock, 0.0)
            watchdog.look()
        events = [(line["event"], line["held_s"]) for line in log.lines()]
    assert events == [("the event loop is held", 2.8), ("the event loop goes on", 4.0)] * 2


@pytest.mark.alone
async def test_the_line_says_where_the_loop_stands() -> None:
    """The thread that watches is not held with it."""
    watchdog = Watchdog(0.1, 5.0)
    with logging_to_memory() as log:
        running = asyncio.create_task(watchdog.run())
        await asyncio.sleep(0)
        hold(0.5)
        await until(lambda: watchdog.times)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        held, over = log.lines()
    assert (held["event"], held["level"]) == ("the event loop is held", "error")
    assert held["stack"][0].startswith("tests/server/limits/test_watchdog.py:")
    assert held["stack"][0].endswith(" in hold")
    assert over["held_s"] >= held["held_s"] >= 0.1


def hold(seconds: float) -> None:
    """Keep the loop from everything else."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
