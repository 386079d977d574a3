"""How many requests of one person are done at a time: whoever asks for much lets others in between.

Nobody is refused for that; what is too much waits for its own kind alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storage.values import Owner


class _Line:
    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.length = 0


class Shares:
    """Requests of one kind in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[Owner, _Line] = {}

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
            async with line.places:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[owner]
