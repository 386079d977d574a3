"""What is done for a few in each turn of the loop."""

import asyncio
from functools import partial

from server.net.turns import AT_ONCE, Turns


async def test_who_came_first_is_first_and_a_few_are_done_in_a_turn() -> None:
    """Others have their turn in between."""
    turns, done, seen = Turns(), list[int](), list[int]()
    for number in range(3 * AT_ONCE + 1):
        turns.wait(partial(done.append, number))
    assert done == []
    while len(turns):
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == list(range(3 * AT_ONCE + 1))
    assert seen == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE, 3 * AT_ONCE + 1]


async def test_who_comes_during_a_turn_waits_for_the_next() -> None:
    """And is not forgotten where it was the last."""
    turns, done = Turns(), list[str]()

    def first() -> None:
        done.append("first")
        turns.wait(partial(done.append, "second"))

    turns.wait(first)
    await asyncio.sleep(0)
    assert done == ["first"]
    await asyncio.sleep(0)
    assert done == ["first", "second"]
