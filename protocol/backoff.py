"""When a client may try again, so that a server coming back meets no herd."""

BASE_S, MOST_S = 0.5, 60.0
# So long a connection must last to count as a success. It is the longest delay: a server that lets
# us in only to throw us out is asked about once a minute in the long run, whatever its rhythm.
STEADY_S = MOST_S


def delay_s(failures: int, chance: float) -> float:
    """Full jitter: anything up to a bound that doubles; `chance` in [0, 1)."""
    return chance * min(MOST_S, BASE_S * 2.0 ** min(failures, 16))


class Backoff:
    """The connections in a row that did not last, and the time that the server may have named."""

    def __init__(self) -> None:
        self.not_before = 0.0  # named by the server: nothing cuts it short, as our own may be
        self._failures = 0
        self._opened_at: float | None = None

    def __repr__(self) -> str:
        """Show how often it failed."""
        return f"<Backoff failures={self._failures}>"

    def opened(self, now: float) -> None:
        """The server has let us in; what that is worth shows at the end."""
        self._opened_at = now

    def named(self, until: float) -> None:
        """The server asked us not to come back before this time."""
        self.not_before = max(self.not_before, until)

    def lost(self, now: float, chance: float) -> float:
        """How long to wait, now that the connection has ended or was refused.

        What the server named overrides our own delay, but cannot undercut it: else one that sends
        everybody away at once, with no delay, would see them again at once, for ever.
        """
        if self._opened_at is not None and now - self._opened_at >= STEADY_S:
            self._failures = 0
        self._opened_at = None
        own_s = delay_s(self._failures, chance)
        self._failures += 1
        return max(self.not_before - now, own_s)
