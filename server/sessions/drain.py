"""Asking all sockets to move on, a few at a time, so that they do not come back all at once."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Struct

from protocol.codes import CloseCode
from protocol.types import GoawayReason
from server.sessions.registry import Registry
from server.telemetry.logs import get_logger

# From the signal to the exit it takes 45 s at most, for whoever stops a process kills it some time
# after asking. With the defaults: 30 for answers to end, which is longer than asking sockets to go
# takes; then these two; 4 for what is still connected (PARLEY_NET_GRACEFUL_S), which with the two
# before is longer than a peer has to answer a close (PARLEY_NET_CLOSE_S); then the last of these.
# That makes 43; the rest is for the database, to be told the last things and to be closed.
LEAVING_S = 6.0  # for answers that were cut short, and for the word that this process ends
CLOSING_S = 2.0  # for clients to read the close
FINISHING_S = 1.0  # for what frames have begun and nobody waits for any more

# Sockets should be back within 20 s. Who is asked last may take all of the spread after 9.5 s of
# asking: 14.5, and the rest is theirs to connect in. With a spread that is shorter than the asking
# no more come back in a second than are asked in one, so a longer one would cost time for nothing.

_log = get_logger()


class Departure(Struct, frozen=True, kw_only=True):
    """How sockets are asked to go, and how long the answers that run have."""

    batches: int = 20
    pause_s: float = 0.5
    spread_s: float = 5.0
    grace_s: float = 30.0
    leaving_s: float = LEAVING_S
    closing_s: float = CLOSING_S


async def drain(
    sockets: Registry,
    answers: Callable[[float], Awaitable[None]],
    departure: Departure,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> None:
    """`goaway` to every socket in paced batches; once `answers` have ended, 1012 to all.

    `answers` is told how long they have. Cancelled, all of this ends at once.
    """
    ending = asyncio.ensure_future(_end(answers, departure))
    try:
        await _ask_to_go(sockets, departure, sleep, chance)
    except asyncio.CancelledError:
        ending.cancel()
        raise
    finally:
        await ending
    for socket in sockets:
        socket.close(CloseCode.RESTART)
    with suppress(TimeoutError):
        await asyncio.wait_for(sockets.gone(), departure.closing_s)


async def _end(answers: Callable[[float], Awaitable[None]], departure: Departure) -> None:
    try:
        async with asyncio.timeout(departure.grace_s + departure.leaving_s):
            await answers(departure.grace_s)
    except TimeoutError:  # the store does not answer; whoever comes next takes them for abandoned
        _log.warning("answers were left behind", grace_s=departure.grace_s)


async def _ask_to_go(
    sockets: Registry,
    departure: Departure,
    sleep: Callable[[float], Awaitable[None]],
    chance: Callable[[], float],
) -> None:
    waiting = list(sockets)
    random.shuffle(waiting)
    size = max(1, -(-len(waiting) // departure.batches))
    for begin in range(0, len(waiting), size):
        if begin:
            await sleep(departure.pause_s)
        for socket in waiting[begin : begin + size]:
            after_ms = round(chance() * departure.spread_s * 1000)
            socket.go_away(GoawayReason.SHUTDOWN, after_ms)
