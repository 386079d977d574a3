"""Waiting for moments, in virtual time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.providers.pacing import Pacing, turn
from tests.support.virtual import running, virtually


async def test_a_turn_lets_others_run_once() -> None:
    """Two that take turns alternate."""
    told = []

    async def tell(name: str) -> None:
        for _ in range(3):
            told.append(name)
            await turn()

    await asyncio.gather(tell("a"), tell("b"))
    assert told == ["a", "b"] * 3


async def test_a_turn_can_be_cancelled() -> None:
    """The cancellation arrives where the turn was taken, and goes no further."""

    async def endless() -> AsyncIterator[None]:
        while not done:
            await turn()
        yield

    done = False
    task = asyncio.ensure_future(anext(endless()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_nobody_is_woken_early_or_a_millisecond_late() -> None:
    """Also between two milliseconds."""

    async def main() -> list[float]:
        pacing = Pacing()
        late = []
        for number in range(50):
            moment = pacing.now() + number * 0.00037
            await pacing.until(moment)
            late.append(pacing.now() - moment)
        return late

    assert all(-1e-9 <= late <= 0.00101 for late in virtually(main()))


def test_those_of_one_millisecond_share_a_timer() -> None:
    """A thousand answers that are paced alike wake together."""

    async def main() -> int:
        pacing = Pacing()
        moment = pacing.now() + 0.02
        before = running().timers
        await asyncio.gather(*(pacing.until(moment) for _ in range(1000)))
        return running().timers - before

    assert virtually(main()) == 1


def test_a_moment_that_has_passed_costs_no_time() -> None:
    """What is overdue comes at once, in a turn of its own."""

    async def main() -> tuple[float, list[str]]:
        pacing = Pacing()
        before, told = pacing.now(), list[str]()
        running().call_soon(told.append, "others")
        await pacing.until(before - 5)
        told.append("woken")
        return pacing.now() - before, told

    took, told = virtually(main())
    assert took == pytest.approx(0, abs=1e-9)
    assert told == ["others", "woken"]


def test_one_that_gave_up_does_not_harm_the_others() -> None:
    """A cancelled wait is passed over."""

    async def main() -> bool:
        pacing = Pacing()

        async def wait() -> bool:
            await pacing.until(moment)
            return True

        moment = pacing.now() + 0.02
        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return all(await asyncio.gather(*tasks[1:]))

    assert virtually(main())
