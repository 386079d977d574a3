"""The ends of sockets: an application learns of a few in each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

AT_ONCE = 8


class Farewells:
    """First come, first said.

    All sockets may end in one moment, as where a proxy dies, and what is done behind an end takes
    longer than the end. In between, what others wait for goes on, such as running answers.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def say(self, farewell: Callable[[], None]) -> None:
        """Have it said when its turn comes; it may not raise."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._say_some)
        self._waiting.append(farewell)

    def _say_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._say_some)
