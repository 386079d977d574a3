"""What may be due for thousands at once, and is done for a few in each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

AT_ONCE = 8


class Turns:
    """First come, first done. In between, what others wait for goes on, such as running answers."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, act: Callable[[], None]) -> None:
        """Have it done when its turn comes; it may not raise."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append(act)

    def _turn(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
