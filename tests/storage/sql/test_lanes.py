"""Lanes run units in order, to their end, and only so many may wait so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import partial

import pytest

from storage.errors import Overloaded, Unavailable
from storage.sql.lanes import Lanes

trace: ContextVar[str] = ContextVar("trace")


async def opened(*, count: int = 1, waiting: int = 100, turn: float = 10.0) -> Lanes[None]:
    lanes = Lanes(nullcontext, count=count, waiting=waiting, turn=turn)
    await lanes.open()
    return lanes


class Gate:
    """A unit of work that says when it began and ends when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, _: None) -> str:
        self.begun.set()
        await self.go_on.wait()
        return "through"


async def test_one_lane_keeps_the_order_in_which_units_came() -> None:
    """Also where the first takes longest."""
    lanes = await opened()
    ran: list[int] = []

    async def unit(number: int, _: None) -> None:
        for _pass in range(10 - number):
            await asyncio.sleep(0)
        ran.append(number)

    await asyncio.gather(*(lanes.run(partial(unit, number)) for number in range(10)))
    assert ran == list(range(10))
    await lanes.close()


async def test_several_lanes_run_units_side_by_side() -> None:
    """As many as there are lanes, and not one more."""
    lanes = await opened(count=2)
    gates = [Gate() for _ in range(3)]
    callers = [asyncio.create_task(lanes.run(gate)) for gate in gates]
    await gates[0].begun.wait()
    await gates[1].begun.wait()
    assert (lanes.busy, lanes.waiting, gates[2].begun.is_set()) == (2, 1, False)
    for gate in gates:
        gate.go_on.set()
    assert await asyncio.gather(*callers) == ["through"] * 3
    assert (lanes.busy, lanes.waiting) == (0, 0)
    await lanes.close()


async def test_more_units_than_may_wait_are_refused_at_once() -> None:
    """Growing without bound would only make everybody late."""
    lanes = await opened(waiting=2)
    gate = Gate()
    running = asyncio.create_task(lanes.run(gate))
    await gate.begun.wait()
    waiting = [asyncio.create_task(lanes.run(gate)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await lanes.run(gate)
    gate.go_on.set()
    assert await asyncio.gather(running, *waiting) == ["through"] * 3
    await lanes.close()


async def test_a_unit_whose_turn_does_not_come_in_time_is_refused_and_never_begins() -> None:
    """Its caller was told that nothing was done, so nothing may be done later either."""
    lanes = await opened(turn=0.01)
    gate, late = Gate(), Gate()
    running = asyncio.create_task(lanes.run(gate))
    await gate.begun.wait()
    with pytest.raises(Overloaded):
        await lanes.run(late)
    gate.go_on.set()
    assert await running == "through"
    assert await lanes.run(gate) == "through"
    assert not late.begun.is_set()
    await lanes.close()


async def test_a_unit_that_began_in_time_may_take_longer() -> None:
    """The bound is on waiting, not on working."""
    lanes = await opened(turn=0.01)
    gate = Gate()
    running = asyncio.create_task(lanes.run(gate))
    await gate.begun.wait()
    with pytest.raises(Overloaded):
        await lanes.run(Gate())  # by now the first unit's time to begin is over too
    gate.go_on.set()
    assert await running == "through"
    await lanes.close()


async def test_a_caller_that_leaves_before_its_turn_takes_its_unit_along() -> None:
    """Nobody would hear of what it did."""
    lanes = await opened()
    gate, left = Gate(), Gate()
    running = asyncio.create_task(lanes.run(gate))
    await gate.begun.wait()
    leaving = asyncio.create_task(lanes.run(left))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.go_on.set()
    await running
    await lanes.run(gate)
    assert not left.begun.is_set()
    await lanes.close()


async def test_a_unit_whose_caller_leaves_in_the_middle_ends_all_the_same() -> None:
    """And its lane goes on with the next, also where the unit fails when nobody listens."""
    lanes = await opened()
    gate = Gate()
    ended = asyncio.Event()

    async def unit(_: None) -> None:
        await gate(None)
        ended.set()
        raise LookupError

    leaving = asyncio.create_task(lanes.run(unit))
    await gate.begun.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.go_on.set()
    assert await lanes.run(walk_through) == "through"
    assert ended.is_set()
    await lanes.close()


async def test_what_a_unit_raises_is_its_callers_and_the_lane_lives_on() -> None:
    """Even a cancellation that comes from inside the unit."""
    lanes = await opened()

    async def fail(_: None) -> None:
        raise LookupError

    async def cancel(_: None) -> None:
        raise asyncio.CancelledError

    with pytest.raises(LookupError):
        await lanes.run(fail)
    with pytest.raises(asyncio.CancelledError):
        await lanes.run(cancel)
    assert await lanes.run(walk_through) == "through"
    await lanes.close()


async def test_no_error_of_a_unit_ends_its_lane() -> None:
    """SQLite has one lane that writes: without it nothing would be written any more."""
    lanes = await opened()

    class Rude(BaseException):
        pass

    async def fail(_: None) -> None:
        raise Rude

    with pytest.raises(Rude):
        await lanes.run(fail)
    assert await lanes.run(walk_through) == "through"
    await lanes.close()


async def test_a_unit_runs_in_its_callers_context() -> None:
    """A trace goes on inside it, and what it sets there stays there."""
    lanes = await opened()
    trace.set("outside")

    async def unit(_: None) -> str:
        found = trace.get()
        trace.set("inside")
        return found

    assert await lanes.run(unit) == "outside"
    assert trace.get() == "outside"
    await lanes.close()


async def test_a_unit_may_not_wait_for_another() -> None:
    """It holds the lane that the other would need."""
    lanes = await opened()
    with pytest.raises(RuntimeError, match="may not open another"):
        await lanes.run(lambda _: lanes.run(walk_through))
    await lanes.close()


async def test_closing_lets_units_end_and_refuses_those_that_wait() -> None:
    """Nothing is left without an answer."""
    lanes = await opened()
    gate, late = Gate(), Gate()
    running = asyncio.create_task(lanes.run(gate))
    await gate.begun.wait()
    waiting = asyncio.create_task(lanes.run(late))
    await asyncio.sleep(0)
    closing = asyncio.create_task(lanes.close())
    with pytest.raises(Unavailable):
        await waiting
    gate.go_on.set()
    await closing
    assert await running == "through"
    assert not late.begun.is_set()
    with pytest.raises(Unavailable):
        await lanes.run(late)


async def test_each_lane_holds_its_own_for_life() -> None:
    """A connection is opened once per lane, used for all its units, and given back at the end."""
    opens, closes = 0, 0

    @asynccontextmanager
    async def hold() -> AsyncIterator[int]:
        nonlocal opens, closes
        opens += 1
        yield opens
        closes += 1

    lanes = Lanes(hold, count=3, waiting=10, turn=10.0)
    await lanes.open()
    barrier = asyncio.Barrier(3)

    async def unit(held: int) -> int:
        await barrier.wait()
        return held

    for _ in range(2):
        held = await asyncio.gather(*(lanes.run(unit) for _ in range(3)))
        assert sorted(held) == [1, 2, 3]
    await lanes.close()
    assert (opens, closes) == (3, 3)


async def test_a_lane_that_cannot_open_fails_the_opening_and_closes_the_others() -> None:
    """The start says why, instead of the first request."""
    opens, closes = 0, 0

    @asynccontextmanager
    async def hold() -> AsyncIterator[None]:
        nonlocal opens, closes
        opens += 1
        if opens == 2:
            raise Unavailable("no such file")
        yield
        closes += 1

    with pytest.raises(Unavailable, match="no such file"):
        await Lanes(hold, count=3, waiting=10, turn=10.0).open()
    assert (opens, closes) == (3, 2)


async def walk_through(_: None) -> str:
    return "through"
