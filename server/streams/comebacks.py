"""Followers whose position is gone, told so a few at a time.

Each of them needs a snapshot from SQL then. Where a log's store restarts, all lose their positions
in the same moment: thousands of snapshots at once would be refused as an overload, and sockets be
closed for what the next seconds mend.
"""

import asyncio
from collections import OrderedDict

from server.streams.channel import Follower

# More would only wait in SQL's queues, and others behind them.
AT_ONCE = 32
# By then it has come back, or was given up; in any case it keeps nobody else waiting any more.
WITHIN_S = 5.0


class Comebacks:
    """Who waits to be told, and who was told and has not left yet."""

    def __init__(self) -> None:
        self._waiting = OrderedDict[Follower, None]()
        self._told: dict[Follower, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._told)

    def lose(self, follower: Follower) -> None:
        """Tell it when its turn comes."""
        self._waiting[follower] = None
        self._go_on()

    def left(self, follower: Follower) -> None:
        """It follows as another again, or not at all."""
        self._waiting.pop(follower, None)
        timer = self._told.pop(follower, None)
        if timer is not None:
            timer.cancel()
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._told) < AT_ONCE:
            follower, _ = self._waiting.popitem(last=False)
            later = asyncio.get_running_loop().call_later
            self._told[follower] = later(WITHIN_S, self.left, follower)
            follower.lose()
