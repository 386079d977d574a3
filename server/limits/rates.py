"""How often one may do what costs others something. Each answers in milliseconds to wait, 0: go.

Messages are counted over all instances, for each costs a model's time, and whoever knows several
addresses of ours shall not have several allowances. The rest is counted here: a `typing` frame must
not cost a round trip, and what handshakes and arrivals cost is this process's own time.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b

from server.auth.principal import Principal
from server.limits.addresses import network
from server.limits.options import Options
from storage.bucket import Buckets, Rate
from storage.counters import Counters
from storage.errors import Unavailable
from storage.values import Owner


class Rates:
    """The rates of this process, and its share in those of all."""

    def __init__(
        self,
        options: Options,
        *,
        shared: Counters | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared`: with other instances; None: there are none, and nothing is asked elsewhere."""
        self._options = options
        self._shared = shared
        self._clock = clock
        self._handshake = Rate(60 / options.handshakes_per_minute, options.handshakes_burst)
        self._arrival = Rate.per_minute(options.arrivals_per_minute, options.burst_s)
        self._messages = Buckets[Owner](options.remembered)
        self._typing = Buckets[Owner](options.remembered)
        self._reads = Buckets[Owner](options.remembered)
        self._changes = Buckets[Owner](options.remembered)
        self._handshakes = Buckets[str](options.remembered)
        self._arrivals = Buckets[str](options.remembered)

    async def message(self, principal: Principal) -> int:
        """A message. Where the others cannot be asked, what was sent through here decides alone."""
        owner, rate = principal.owner, self._message_of(principal)
        wait = self._messages.take(owner, rate, self._clock())
        if wait or self._shared is None:  # what is too much for one is too much for all
            return _milliseconds(wait)
        try:
            wait = await self._shared.take(_name(owner), rate)
        except Unavailable:
            return 0
        if wait:
            self._messages.give_back(owner, rate)
        return _milliseconds(wait)

    async def message_again(self, principal: Principal) -> None:
        """It was one that was there already: whoever sends it again after a cut is not held up."""
        owner, rate = principal.owner, self._message_of(principal)
        self._messages.give_back(owner, rate)
        if self._shared is not None:
            with suppress(Unavailable):
                await self._shared.give_back(_name(owner), rate)

    def _message_of(self, principal: Principal) -> Rate:
        return self._per_minute(self._options.limits_of(principal).messages_per_minute)

    def typing(self, principal: Principal) -> int:
        """A `typing` frame."""
        most = self._options.limits_of(principal).typing_per_minute
        return self._take(self._typing, principal.owner, most)

    def read(self, owner: Owner) -> int:
        """A request over HTTP that reads."""
        return self._take(self._reads, owner, self._options.reads_per_minute)

    def change(self, owner: Owner) -> int:
        """A request over HTTP that changes rows."""
        return self._take(self._changes, owner, self._options.changes_per_minute)

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


def _name(owner: Owner) -> str:
    """A pseudonym, for an id may be somebody's address; the length says where the tenant ends."""
    whose = f"{len(owner.tenant)}:{owner.tenant}:{owner.user}"
    return f"message:{blake2b(whose.encode(), digest_size=16).hexdigest()}"


def _milliseconds(seconds: float) -> int:
    """Rounded up: who waits that long is let through."""
    return math.ceil(seconds * 1000)
