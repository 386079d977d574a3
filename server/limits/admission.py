"""How many sockets may be open: of all, of an address, a tenant, a person, and of nobody known.

And how many may come in a second, so that those who return all at once leave time for those who are
here. Decided at once, and for the newcomer alone: no socket that is open closes for another one.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeVar

from msgspec import Struct

from protocol.codes import CloseCode
from server.auth.principal import Principal
from server.limits.addresses import network
from server.limits.options import Options
from storage.bucket import Rate
from storage.values import Owner

K = TypeVar("K", bound=Hashable)

RETRY_AFTER_S = 1
BURST_S = 0.25  # so many seconds' worth of handshakes may come at once; longer, and chunks are late
LINE_S = 30.0  # nobody is sent away for longer


class NoRoom(Struct, frozen=True):
    """Why a handshake is refused: the HTTP status before the upgrade, and when to come back."""

    status: int
    retry_after_s: int
    reason: str


class Place:
    """A socket's place, from before its upgrade until it is gone."""

    __slots__ = ("address", "principal")

    def __init__(self, address: str) -> None:
        self.address = address
        self.principal: Principal | None = None


class Line:
    """Those who were sent away: each is told to come when the ones before it have been taken.

    It moves at the rate of handshakes. Behind its longest it begins anew, for who is told of a
    second beyond that may as well come earlier.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._ends_at = float("-inf")

    def stand(self, now: float) -> int:
        """Take the next place: in how many whole seconds to come back, at least one."""
        begins_at = max(self._ends_at, now)
        if begins_at - now >= LINE_S:
            begins_at = now
        self._ends_at = begins_at + self._interval_s
        return RETRY_AFTER_S + int(begins_at - now)


class Admission:
    """Counts the sockets of this process.

    `pressed` says that it has no memory for more, and `crowded` that those who came before are not
    served yet: who comes later is level no later then, and finds nobody who waited in vain.
    """

    def __init__(
        self,
        options: Options,
        *,
        pressed: Callable[[], bool] = lambda: False,
        crowded: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._pressed = pressed
        self._crowded = crowded
        self._clock = clock
        per_s = options.handshakes_per_s
        self._rate = Rate(1 / per_s, max(1, int(per_s * BURST_S)))
        self._full_at = float("-inf")  # when as many as may come at once may come again
        self._line = Line(1 / per_s)
        self._places: set[Place] = set()
        self._known = 0
        self._of_address: Counter[str] = Counter()
        self._of_tenant: Counter[str] = Counter()
        self._of_person: Counter[Owner] = Counter()

    @property
    def sockets(self) -> int:
        """All that are open."""
        return len(self._places)

    @property
    def unknown(self) -> int:
        """Those that have not said who they are."""
        return len(self._places) - self._known

    def enter(self, peer: str) -> Place | NoRoom:
        """A place for a new socket, which nobody is known to be behind yet."""
        address = network(peer)
        full = self._full()
        if full is not None:
            return self._later(full)
        if self._of_address[address] >= self._options.sockets_per_address:
            return NoRoom(429, RETRY_AFTER_S, "the address has as many sockets as it may")
        # Last, so that only those count who come in.
        wait, self._full_at = self._rate.take(self._full_at, self._clock())
        if wait:
            return self._later("as many come at once as this process may take in")
        place = Place(address)
        self._places.add(place)
        self._of_address[address] += 1
        return place

    def seat(self, place: Place, principal: Principal) -> CloseCode | None:
        """It is known now who is behind the socket; with which code to close it, or None.

        Also where somebody else is from now on: a visitor who became a user.
        """
        if place not in self._places:
            return None
        before = place.principal
        if before is not None and before.owner == principal.owner:
            place.principal = principal
            return None
        if self._is_full(principal, moved_from=before):
            return CloseCode.CONNECTION_LIMIT
        self._unseat(place)
        place.principal = principal
        self._known += 1
        self._of_tenant[principal.tenant] += 1
        self._of_person[principal.owner] += 1
        return None

    def leave(self, place: Place) -> None:
        """The socket is gone; said twice it is said once."""
        if place not in self._places:
            return
        self._unseat(place)
        self._places.remove(place)
        _decrease(self._of_address, place.address)

    def _full(self) -> str | None:
        """Why nobody at all may come in now."""
        if self.sockets >= self._options.sockets:
            return "this process holds as many sockets as it may"
        if self.unknown >= self._options.unknown_sockets:
            return "too many sockets have not said who they are"
        if self._pressed():
            return "this process has no memory for more"
        if self._crowded():
            return "those who came before are not served yet"
        return None

    def _later(self, reason: str) -> NoRoom:
        return NoRoom(503, self._line.stand(self._clock()), reason)

    def _is_full(self, principal: Principal, *, moved_from: Principal | None) -> bool:
        most = self._options.limits_of(principal).sockets
        if self._of_person[principal.owner] >= most:
            return True
        of_tenant = self._options.sockets_per_tenant
        if not of_tenant or (moved_from is not None and moved_from.tenant == principal.tenant):
            return False
        return self._of_tenant[principal.tenant] >= of_tenant

    def _unseat(self, place: Place) -> None:
        if place.principal is None:
            return
        self._known -= 1
        _decrease(self._of_tenant, place.principal.tenant)
        _decrease(self._of_person, place.principal.owner)
        place.principal = None


def _decrease(counts: Counter[K], key: K) -> None:
    """Without leaving a zero behind for everybody who ever was there."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
