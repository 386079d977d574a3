"""Asking all sockets to move on, a few at a time, so that they do not come back all at once."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Struct

from protocol.codes import CloseCode
from protocol.types import GoawayReason
from server.sessions.registry import Registry


class Pace(Struct, frozen=True, kw_only=True):
    """How sockets are asked to go, and how long the answers that run have."""

    batches: int = 20
    pause_s: float = 0.5
    spread_s: float = 10.0
    closing_s: float = 2.0  # for clients to read the close


async def drain(
    sockets: Registry,
    answers: Callable[[], Awaitable[None]],
    pace: Pace,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> None:
    """`goaway` to every socket in paced batches; once `answers` have ended, 1012 to all."""
    ending = asyncio.ensure_future(answers())
    try:
        await _ask_to_go(sockets, pace, sleep, chance)
    finally:
        await ending
    for socket in sockets:
        socket.close(CloseCode.RESTART)
    with suppress(TimeoutError):
        await asyncio.wait_for(sockets.gone(), pace.closing_s)


async def _ask_to_go(
    sockets: Registry,
    pace: Pace,
    sleep: Callable[[float], Awaitable[None]],
    chance: Callable[[], float],
) -> None:
    waiting = list(sockets)
    random.shuffle(waiting)
    size = max(1, -(-len(waiting) // pace.batches))
    for begin in range(0, len(waiting), size):
        if begin:
            await sleep(pace.pause_s)
        for socket in waiting[begin : begin + size]:
            after_ms = round(chance() * pace.spread_s * 1000)
            socket.go_away(GoawayReason.SHUTDOWN, after_ms)
