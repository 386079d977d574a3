"""What waits for what among the frames of one socket."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.frames import from_client as c
from server.ws.order import Order, Turn

AUTH = c.Auth(token="t")
EDIT = c.Edit(id="e", message="m", content="x")
AGAIN = c.Regenerate(id="r", answer="m")
NEW = c.Chat(id="n", content="x")
STOP = c.Stop(answer="m")
IN_ONE = c.Chat(id="1", content="x", conversation="c_1")
IN_TWO = c.Chat(id="2", content="x", conversation="c_2")
FOLLOW_ONE = c.Attach(conversation="c_1")
READ_ONE = c.ReadHistory(id="h", conversation="c_1", limit=1)
ALL = [AUTH, EDIT, AGAIN, NEW, STOP, IN_ONE, IN_TWO, FOLLOW_ONE, READ_ONE]


async def waits(later: c.ClientFrame, earlier: c.ClientFrame) -> bool:
    """Whether the later one is kept waiting for the earlier one, and goes on after it."""
    order = Order()
    first, second = order.turn(earlier), order.turn(later)
    going = asyncio.Event()

    async def go() -> None:
        async with second:
            going.set()

    async with first:
        task = asyncio.create_task(go())
        await asyncio.sleep(0)
        waited = not going.is_set()
    await task
    assert not len(order)
    return waited


@pytest.mark.parametrize("other", ALL)
@pytest.mark.parametrize("alone", [AUTH, EDIT, AGAIN])
async def test_what_says_not_which_conversation_it_concerns_is_done_alone(
    alone: c.ClientFrame, other: c.ClientFrame
) -> None:
    """And `auth` changes whose frames they are."""
    assert await waits(alone, other)
    assert await waits(other, alone)


async def test_what_names_a_conversation_comes_behind_what_named_it_before() -> None:
    """What names another one, or none, does not wait for it."""
    for earlier in (IN_ONE, FOLLOW_ONE, READ_ONE):
        for later in (IN_ONE, FOLLOW_ONE, READ_ONE):
            assert await waits(later, earlier)
        for other in (IN_TWO, NEW, STOP):
            assert not await waits(other, earlier)
    assert not await waits(NEW, NEW)


async def test_a_frame_that_failed_keeps_nobody_waiting() -> None:
    """Nor one whose task was cancelled while it waited itself."""
    order = Order()
    first, second, third = (order.turn(IN_ONE) for _ in range(3))

    async def wait() -> None:
        async with second:
            pass

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with first:
            raise ZeroDivisionError
    async with third:
        pass
    assert not len(order)


@given(frames=st.lists(st.sampled_from(ALL), max_size=12), seed=st.integers(0, 999))
def test_whatever_comes_all_of_it_is_done_and_in_order(
    frames: list[c.ClientFrame], seed: int
) -> None:
    """However long each of them takes."""
    chance, done = random.Random(seed), []

    async def live() -> None:
        order = Order()

        async def do(place: int, turn: Turn) -> None:
            async with turn:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                done.append(place)

        turns = [order.turn(frame) for frame in frames]
        tasks = [do(place, turn) for place, turn in enumerate(turns)]
        chance.shuffle(tasks)
        await asyncio.gather(*tasks)
        assert not len(order)

    asyncio.run(live())
    order = Order()
    turns = [order.turn(frame) for frame in frames]
    for later, turn in enumerate(turns):
        for earlier in range(later):
            if turn.waits_for(turns[earlier]):
                assert done.index(earlier) < done.index(later)
