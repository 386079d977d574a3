"""Those whose position is gone are told a few at a time."""

import asyncio

from server.streams.comebacks import AT_ONCE, WITHIN_S, Comebacks
from tests.support.place import Listener
from tests.support.virtual import virtually


def lose(comebacks: Comebacks, count: int) -> list[Listener]:
    listeners = [Listener() for _ in range(count)]
    for listener in listeners:
        comebacks.lose(listener)
    return listeners


def told(listeners: list[Listener]) -> list[int]:
    return [number for number, listener in enumerate(listeners) if listener.lost]


async def test_a_few_are_told_at_once() -> None:
    """A loss of one conversation takes no detour."""
    listeners = lose(Comebacks(), AT_ONCE)
    assert told(listeners) == [*range(AT_ONCE)]


async def test_the_next_is_told_when_one_has_left() -> None:
    """In the order in which they were lost; who left before is told nothing."""
    comebacks = Comebacks()
    listeners = lose(comebacks, AT_ONCE + 3)
    assert told(listeners) == [*range(AT_ONCE)]
    comebacks.left(listeners[AT_ONCE])
    assert told(listeners) == [*range(AT_ONCE)]
    comebacks.left(listeners[5])
    comebacks.left(listeners[5])
    assert told(listeners) == [*range(AT_ONCE), AT_ONCE + 1]
    for listener in listeners:
        comebacks.left(listener)
    assert told(listeners) == [*range(AT_ONCE), AT_ONCE + 1, AT_ONCE + 2]
    assert len(comebacks) == 0


async def test_who_was_never_lost_may_leave() -> None:
    """As most do."""
    comebacks = Comebacks()
    comebacks.left(Listener())
    assert len(comebacks) == 0


def test_who_neither_leaves_nor_comes_back_holds_nobody_up_for_long() -> None:
    """Whatever went wrong with it."""

    async def main() -> None:
        listeners = lose(Comebacks(), 2 * AT_ONCE)
        await asyncio.sleep(WITHIN_S - 0.1)
        assert told(listeners) == [*range(AT_ONCE)]
        await asyncio.sleep(0.2)
        assert told(listeners) == [*range(2 * AT_ONCE)]

    virtually(main())
