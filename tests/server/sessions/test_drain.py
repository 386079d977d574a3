"""Sockets are asked to go a few at a time, and closed once the answers have ended."""

import asyncio

from protocol.codes import CloseCode
from server.sessions.drain import Pace, drain
from server.sessions.registry import Registry
from tests.support.socket import FakeSocket


class Leaving(FakeSocket):
    """A socket whose client closes when it is closed."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    def close(self, code: CloseCode) -> None:
        """It is gone at once."""
        super().close(code)
        self._registry.closed(self)


async def test_twenty_batches_half_a_second_apart() -> None:
    """With delays spread over the whole span, and 1012 only after the answers."""
    registry = Registry(lambda: 0.0)
    sockets = [Leaving(registry) for _ in range(200)]
    for socket in sockets:
        registry.open(socket)
    asked: list[int] = []
    ended = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == 0.5
        asked.append(sum(s.went_after_ms is not None for s in sockets))
        if len(asked) == 19:
            ended.set()

    async def answers() -> None:
        await ended.wait()
        assert all(socket.code is None for socket in sockets)

    chances = iter(n / 200 for n in range(200))
    await drain(registry, answers, Pace(), sleep=sleep, chance=lambda: next(chances))
    assert asked == list(range(10, 200, 10))
    assert {socket.code for socket in sockets} == {CloseCode.RESTART}
    assert sorted(s.went_after_ms or 0 for s in sockets) == [n * 50 for n in range(200)]


async def test_without_sockets_only_the_answers_are_waited_for() -> None:
    """Nothing is paced."""
    done = []

    async def answers() -> None:
        done.append(True)

    await drain(Registry(lambda: 0.0), answers, Pace())
    assert done == [True]


async def test_a_client_that_will_not_close_is_not_waited_for_long() -> None:
    """The exit has an end."""
    registry = Registry(lambda: 0.0)
    socket = FakeSocket()
    registry.open(socket)

    async def answers() -> None:
        """Nothing runs."""

    await drain(registry, answers, Pace(closing_s=0.01))
    assert socket.code is CloseCode.RESTART
