"""Counters of a single process: the executable meaning of `storage.counters`."""

import time
from collections.abc import Callable

from storage.bucket import Buckets, Rate


class MemoryCounters:
    """See `storage.counters.Counters`; `clock` gives seconds that never go back."""

    def __init__(self, remembered: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`remembered`: so many names at once; then the longest unused one is forgotten."""
        self._buckets = Buckets[str](remembered)
        self._clock = clock

    async def take(self, name: str, rate: Rate) -> float:
        return self._buckets.take(name, rate, self._clock())

    async def give_back(self, name: str, rate: Rate) -> None:
        self._buckets.give_back(name, rate)
