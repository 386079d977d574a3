"""Buckets that several share. Where time is the store's own, some passes by itself: seconds, while
a place in these buckets comes back in minutes.
"""

import asyncio
import random

from storage.bucket import Rate
from tests.contracts.counters.harness import Harness

MINUTES = Rate(interval_s=300.0, burst=3)
LATE_S = 60.0  # what a test may take, at the very most


async def took(harness: Harness, name: str = "ann", rate: Rate = MINUTES) -> bool:
    """Whether one was taken."""
    return not await harness.one.take(name, rate)


async def test_a_burst_is_let_through_and_the_rest_is_told_to_wait(harness: Harness) -> None:
    """As long as it takes until one comes back, whichever client asks; asking costs nothing."""
    assert [await took(harness) for _ in range(3)] == [True] * 3
    for counters in (harness.one, harness.other, harness.one):
        wait = await counters.take("ann", MINUTES)
        assert 300 - LATE_S < wait <= 300


async def test_who_waits_as_long_as_told_gets_one(harness: Harness) -> None:
    """One, and no more."""
    for _ in range(3):
        await took(harness)
    for _ in range(5):
        wait = await harness.other.take("ann", MINUTES)
        await harness.pass_time("ann", wait)
        assert await took(harness)
        assert not await took(harness)


async def test_after_a_long_time_there_is_one_burst_again(harness: Harness) -> None:
    """However long it was."""
    for _ in range(2):
        assert [await took(harness) for _ in range(4)] == [True] * 3 + [False]
        await harness.pass_time("ann", 100_000.0)


async def test_each_name_has_a_bucket_of_its_own(harness: Harness) -> None:
    """Also names that look alike."""
    for name in ("ann", "ann:", "Ann", "{ann}", "änn", ""):
        assert [await took(harness, name) for _ in range(4)] == [True] * 3 + [False]


async def test_what_was_given_back_was_never_taken(harness: Harness) -> None:
    """A full bucket is given nothing, and neither is one that nobody has heard of."""
    for _ in range(3):
        await took(harness)
    await harness.other.give_back("ann", MINUTES)
    assert [await took(harness) for _ in range(2)] == [True, False]
    await harness.pass_time("ann", 100_000.0)
    for name in ("ann", "nobody"):
        for _ in range(3):
            await harness.one.give_back(name, MINUTES)
        assert [await took(harness, name) for _ in range(4)] == [True] * 3 + [False]


async def test_of_all_who_ask_at_once_no_more_get_one_than_there_are(harness: Harness) -> None:
    """A hundred, by two ways."""
    asking = [
        counters.take("ann", MINUTES)
        for _ in range(50)
        for counters in (harness.one, harness.other)
    ]
    waits = await asyncio.gather(*asking)
    assert sum(not wait for wait in waits) == 3


async def test_any_history_comes_to_what_a_bucket_comes_to(harness: Harness) -> None:
    """Takes, returns and pauses by chance; the pauses leave no doubt about rounding."""
    chance = random.Random(7)
    for name in map(str, range(20)):
        full_at, now = 0.0, 1000.0
        for _ in range(30):
            match chance.choice(["take", "take", "take", "give", "pass"]):
                case "take":
                    wait, full_at = MINUTES.take(full_at, now)
                    assert await took(harness, name) == (not wait)
                case "give" if full_at > now:
                    full_at -= MINUTES.interval_s
                    await harness.one.give_back(name, MINUTES)
                case "pass":
                    seconds = MINUTES.interval_s * chance.randint(0, 4)
                    now += seconds
                    await harness.pass_time(name, seconds)


async def test_a_quick_rate_is_kept_too(harness: Harness) -> None:
    """Ten thousand a second, and a burst of a thousand; a place comes back within the test."""
    rate = Rate(interval_s=0.0001, burst=1000)
    assert all([await took(harness, "ann", rate) for _ in range(1000)])
