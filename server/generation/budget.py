"""How often models are asked again."""


class RetryBudget:
    """Further tries as a share of all calls, so that a vendor in trouble is not asked the more."""

    def __init__(self, share: float, reserve: int) -> None:
        self._share = share
        self._most = max(1, reserve)
        self._left = float(reserve)

    def called(self) -> None:
        """A model was asked."""
        self._left = min(self._most, self._left + self._share)

    def take(self) -> bool:
        """Whether there may be another try; if so it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
