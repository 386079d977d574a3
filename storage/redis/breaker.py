"""Not asking again and again who does not answer: each asking would wait for its whole time-out."""

# One late answer may be our own fault, a loop that was busy; two in a row are not.
FAILURES = 2


class Breaker:
    """Open after failures in a row, until there is an answer."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed."""
        return self._failures >= FAILURES

    def failed(self, *, surely: bool = False) -> None:
        """A call failed; `surely`: not because it took too long."""
        self._failures = FAILURES if surely else self._failures + 1

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0
