"""Token buckets, reckoned by one number each: the moment at which the bucket is full again.

In any span of `t` seconds at most `burst + t / interval_s` are let through, and who keeps to one
per `interval_s` is never held up. A full bucket is like one that never was, so it can be forgotten.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct

K = TypeVar("K", bound=Hashable)

# Where two floats stand for the same moment; far below what anybody could gain by it.
_ROUNDING_S = 1e-6


class Rate(Struct, frozen=True):
    """One per `interval_s` for ever, and `burst` at once."""

    interval_s: float
    burst: int

    @classmethod
    def per_minute(cls, count: int, burst_s: float) -> "Rate":
        """So many a minute, and at once as many as fall to `burst_s`, at least one."""
        return cls(60 / count, max(1, int(count * burst_s / 60)))

    def take(self, full_at: float, now: float) -> tuple[float, float]:
        """Take one from a bucket: how long to wait (0: it was taken), and when it is full now."""
        taken = max(full_at, now) + self.interval_s
        wait = taken - now - self.interval_s * self.burst
        if wait > _ROUNDING_S:
            return wait, full_at
        return 0.0, taken


class Buckets(Generic[K]):
    """Buckets by key; of more than are remembered, the one longest unused is forgotten."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._full_at: dict[K, float] = {}  # least recently used first

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: K, rate: Rate, now: float) -> float:
        """Take one from a key's bucket: how many seconds to wait, or 0 if it was taken."""
        wait, full_at = rate.take(self._full_at.pop(key, now), now)
        self._full_at[key] = full_at
        self._forget(now)
        return wait

    def give_back(self, key: K, rate: Rate) -> None:
        """One that was taken need not have been."""
        if key in self._full_at:
            self._full_at[key] -= rate.interval_s

    def _forget(self, now: float) -> None:
        """A look at the two oldest for each that is used: full ones never pile up."""
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._remembered:
                return
            del self._full_at[oldest]
            if not self._full_at:
                return
