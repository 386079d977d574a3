"""How often one may do what costs others something. Each answers in milliseconds to wait, 0: go."""

import math
import time
from collections.abc import Callable

from server.auth.principal import Principal
from server.limits.addresses import network
from server.limits.bucket import Buckets, Rate
from server.limits.options import Options
from storage.values import Owner


class Rates:
    """The rates of this process."""

    def __init__(self, options: Options, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._handshake = Rate(60 / options.handshakes_per_minute, options.handshakes_burst)
        self._arrival = Rate.per_minute(options.arrivals_per_minute, options.burst_s)
        self._messages = Buckets[Owner](options.remembered)
        self._typing = Buckets[Owner](options.remembered)
        self._handshakes = Buckets[str](options.remembered)
        self._arrivals = Buckets[str](options.remembered)

    def message(self, principal: Principal) -> int:
        """A message."""
        return self._take(self._messages, principal.owner, self._messages_of(principal))

    def message_again(self, principal: Principal) -> None:
        """It was one that was there already: whoever sends it again after a cut is not held up."""
        self._messages.give_back(principal.owner, self._per_minute(self._messages_of(principal)))

    def _messages_of(self, principal: Principal) -> int:
        return self._options.limits_of(principal).messages_per_minute

    def typing(self, principal: Principal) -> int:
        """A `typing` frame."""
        most = self._options.limits_of(principal).typing_per_minute
        return self._take(self._typing, principal.owner, most)

    def handshake(self, peer: str) -> int:
        """A handshake of a socket."""
        wait = self._handshakes.take(network(peer), self._handshake, self._clock())
        return _milliseconds(wait)

    def arrival(self, peer: str) -> int:
        """A visitor's, new or again: each writes a row."""
        wait = self._arrivals.take(network(peer), self._arrival, self._clock())
        return _milliseconds(wait)

    def _take(self, buckets: Buckets[Owner], owner: Owner, per_minute: int) -> int:
        return _milliseconds(buckets.take(owner, self._per_minute(per_minute), self._clock()))

    def _per_minute(self, count: int) -> Rate:
        return Rate.per_minute(count, self._options.burst_s)


def _milliseconds(seconds: float) -> int:
    """Rounded up: who waits that long is let through."""
    return math.ceil(seconds * 1000)
