"""Sockets are asked to go a few at a time, and closed once the answers have ended."""

import asyncio

import pytest

from protocol.codes import CloseCode
from server.config import Settings
from server.generation.supervisor import CUT_SHORT_S
from server.sessions.drain import CLOSING_S, FINISHING_S, LEAVING_S, Departure, drain
from server.sessions.registry import Registry
from tests.support.logs import logging_to_memory
from tests.support.socket import FakeSocket, a_registry
from tests.support.waiting import pause, until


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
    registry = a_registry()
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

    async def answers(grace_s: float) -> None:
        await ended.wait()
        assert all(socket.code is None for socket in sockets)

    chances = iter(n / 200 for n in range(200))
    await drain(registry, answers, Departure(), sleep=sleep, chance=lambda: next(chances))
    assert asked == list(range(10, 200, 10))
    assert {socket.code for socket in sockets} == {CloseCode.RESTART}
    assert sorted(s.went_after_ms or 0 for s in sockets) == [n * 25 for n in range(200)]


@pytest.mark.parametrize("at", ["asking", "answers"])
async def test_cancelled_it_ends_at_once(at: str) -> None:
    """A second signal does not wait for answers, whether or not all sockets were asked by then."""
    registry = a_registry()
    sockets = [Leaving(registry) for _ in range(60)]
    for socket in sockets:
        registry.open(socket)
    ended: list[str] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if at == "asking":
            await asyncio.Event().wait()

    async def answers(grace_s: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut short")

    draining = asyncio.ensure_future(drain(registry, answers, Departure(), sleep=sleep))
    await until(lambda: len(pauses) == (1 if at == "asking" else 19))
    await pause()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(draining, 5)
    assert ended == ["cut short"]
    assert {socket.code for socket in sockets} == {None}, "who cut it short ends the sockets"


async def test_answers_that_will_not_end_are_left_behind() -> None:
    """A store that does not answer does not keep the process."""
    registry = a_registry()
    told: list[float] = []

    async def answers(grace_s: float) -> None:
        told.append(grace_s)
        await asyncio.Event().wait()

    with logging_to_memory() as log:
        await drain(registry, answers, Departure(grace_s=0.01, leaving_s=0.01))
        [line] = log.lines()
    assert told == [0.01]
    assert (line["level"], line["event"]) == ("warning", "answers were left behind")


def test_by_default_an_exit_takes_45_seconds_at_most() -> None:
    """What asked the process to end kills it some time after."""
    settings = Settings()
    sockets = settings.socket
    assert Departure().grace_s == sockets.drain_grace_s == 30
    asking = (sockets.drain_batches - 1) * sockets.drain_pause_s
    answers = sockets.drain_grace_s + LEAVING_S
    assert LEAVING_S > CUT_SHORT_S
    after = CLOSING_S + settings.net.graceful_s
    assert after > settings.net.close_s, "who does not answer a close is cut off within"
    assert max(asking, answers) + after + FINISHING_S <= 43


def test_by_default_all_have_been_asked_back_after_15_seconds() -> None:
    """And no more come at once than are asked at once: the spread is shorter than the asking."""
    sockets = Settings().socket
    assert Departure().spread_s == sockets.drain_spread_s
    asking = (sockets.drain_batches - 1) * sockets.drain_pause_s
    assert asking + sockets.drain_spread_s <= 15
    assert sockets.drain_spread_s <= asking


async def test_without_sockets_only_the_answers_are_waited_for() -> None:
    """Nothing is paced."""
    done = []

    async def answers(grace_s: float) -> None:
        done.append(True)

    await drain(a_registry(), answers, Departure())
    assert done == [True]


async def test_a_client_that_will_not_close_is_not_waited_for_long() -> None:
    """The exit has an end."""
    registry = a_registry()
    socket = FakeSocket()
    registry.open(socket)

    async def answers(grace_s: float) -> None:
        """Nothing runs."""

    await drain(registry, answers, Departure(closing_s=0.01))
    assert socket.code is CloseCode.RESTART
