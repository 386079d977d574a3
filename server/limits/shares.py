"""How many requests are done at a time, of one person and of all together.

Whoever asks for much lets others in between, and where thousands come back at once they wait here
instead of being refused by a store with too long a line. What is too much waits for its own kind
alone; it is refused only if its turn does not come in time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from storage.errors import Overloaded
from storage.values import Owner

WITHIN_S = 30.0  # for one's own line and a turn among all; to come again costs more than to wait
LONG = 1000  # who wait for one, from which on they are not to become more


class _Line:
    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.length = 0


class Shares:
    """Requests of one kind in this process."""

    def __init__(self, most: int, together: int) -> None:
        """`most` of one person, `together` of all."""
        self._most = most
        self._together = asyncio.Semaphore(together)
        self._lines: dict[Owner, _Line] = {}
        self._waiting = 0  # for a turn among all

    @property
    def crowded(self) -> bool:
        """Whether so many wait that newcomers had better come later."""
        return self._waiting >= LONG

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def one(self, owner: Owner) -> AsyncIterator[None]:
        """A place for one request, once fewer than the most are under way."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line(self._most)
        line.length += 1
        try:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(WITHIN_S):
                        await held.enter_async_context(line.places)
                        await held.enter_async_context(self._turn())
                except TimeoutError:
                    raise Overloaded("too many requests are waiting") from None
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[owner]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._together.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._together.release()
