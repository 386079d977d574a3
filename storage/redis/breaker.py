"""Not asking again and again who does not answer: each asking would wait for its whole time-out."""

from collections.abc import Callable

# One late answer may be our own fault, a loop that was busy; two in a row are not.
FAILURES = 2


class Breaker:
    """Open after failures in a row; then one call in each pause tries whether it is over."""

    def __init__(self, pause_s: float, clock: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed."""
        return self._failures >= FAILURES

    def lets_through(self) -> bool:
        """Whether a call may be made now; with a breaker that is open, it is the one that tries."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._closed_until:
            return False
        self._closed_until = now + self._pause_s
        return True

    def failed(self, *, surely: bool = False) -> None:
        """A call failed; `surely`: not because it took too long."""
        self._failures = FAILURES if surely else self._failures + 1
        self._closed_until = self._clock() + self._pause_s

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0
