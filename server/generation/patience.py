"""Asking the store until it answers.

An answer that has begun is not given up because the store is away for a while: what it did is kept,
and asked again. Everything asked so may be asked twice.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.telemetry.logs import get_logger
from storage.errors import Overloaded, StorageError, Unavailable

T = TypeVar("T")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
DOUBLINGS = 8

_log = get_logger()


class Patience:
    """Waits, with growing pauses, for a store that is away or overloaded."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._chance = chance

    async def __call__(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the store says in the end; errors that waiting does not mend are raised."""
        tries = 0
        while True:
            try:
                return await ask()
            except (Overloaded, Unavailable) as error:
                await self._wait(tries, error)
                tries += 1

    async def _wait(self, tries: int, error: StorageError) -> None:
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries, DOUBLINGS))
        if isinstance(error, Overloaded):
            pause = max(pause, error.retry_after_ms / 1000)
        if not tries:
            _log.warning("the store is asked again", why=str(error))
        await self._sleep(pause * (0.5 + self._chance()))
