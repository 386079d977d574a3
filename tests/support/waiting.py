"""Waiting for what sets no event."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 20.0
# A loop that only spins takes the interpreter from the threads in which SQLite works.
PAUSE_S = 0.001


async def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await pause()


async def pause() -> None:
    """Leave the others time to work."""
    await asyncio.sleep(PAUSE_S)
