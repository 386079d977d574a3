"""Of how many ends an application learns in a turn of the loop."""

import asyncio
from functools import partial

from server.net.farewells import AT_ONCE, Farewells


async def test_who_came_first_is_first_and_a_few_are_done_in_a_turn() -> None:
    """Others have their turn in between."""
    farewells, said, seen = Farewells(), list[int](), list[int]()
    for number in range(3 * AT_ONCE + 1):
        farewells.say(partial(said.append, number))
    assert said == []
    while len(farewells):
        await asyncio.sleep(0)
        seen.append(len(said))
    assert said == list(range(3 * AT_ONCE + 1))
    assert seen == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE, 3 * AT_ONCE + 1]


async def test_who_comes_during_a_turn_waits_for_the_next() -> None:
    """And is not forgotten where it was the last."""
    farewells, said = Farewells(), list[str]()

    def first() -> None:
        said.append("first")
        farewells.say(partial(said.append, "second"))

    farewells.say(first)
    await asyncio.sleep(0)
    assert said == ["first"]
    await asyncio.sleep(0)
    assert said == ["first", "second"]
