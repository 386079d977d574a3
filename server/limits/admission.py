"""How many sockets may be open: of all, of an address, a tenant, a person, and of nobody known.

And how many come in in a second, so that those who return all at once leave time for those who are
here: the first of them wait for their turn, the others are told when to come again. Decided for the
newcomer alone: no socket that is open closes for another one.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeVar

from msgspec import Struct

from protocol.codes import CloseCode
from server.auth.principal import Principal
from server.limits.addresses import network
from server.limits.newcomers import Entry, Later, Newcomers
from server.limits.options import Options
from server.limits.pace import Waitlist
from storage.values import Owner

K = TypeVar("K", bound=Hashable)

RETRY_AFTER_S = 1
NO_MEMORY = "this process has no memory for more"
TOO_MANY_UNKNOWN = "too many sockets have not said who they are"


class NoRoom(Struct, frozen=True):
    """Why a handshake is refused: the HTTP status before the upgrade, and when to come back."""

    status: int
    retry_after_s: int
    reason: str


class Place:
    """A socket's place, from before its upgrade until it is gone.

    With an `entry`, the upgrade waits for that.
    """

    __slots__ = ("address", "entry", "principal")

    def __init__(self, address: str, entry: Entry | None) -> None:
        self.address = address
        self.entry = entry
        self.principal: Principal | None = None


class Admission:
    """Counts the sockets of this process, also those that wait for their turn.

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
        later: Later | None = None,
    ) -> None:
        self._options = options
        self._pressed = pressed
        self._crowded = crowded
        self._clock = clock
        self._newcomers = Newcomers(
            options.handshakes_per_s, held_up=crowded, clock=clock, later=later
        )
        self._waitlist = Waitlist()
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
        """Those that came in and have not said who they are."""
        return len(self._places) - self._known - len(self._newcomers)

    def enter(self, peer: str) -> Place | NoRoom:
        """A place for a new socket, which nobody is known to be behind yet."""
        address = network(peer)
        full = self._full()
        if full is not None:
            return self._later(full)
        if self._of_address[address] >= self._options.sockets_per_address:
            return NoRoom(429, RETRY_AFTER_S, "the address has as many sockets as it may")
        # Last, so that only those have a turn who come in.
        if self._newcomers.full:
            return self._later("as many wait as this process takes in soon")
        place = Place(address, self._newcomers.join())
        self._places.add(place)
        self._of_address[address] += 1
        return place

    def after(self, place: Place) -> NoRoom | None:
        """Whether who has waited for a turn may come in, now that this is over."""
        entry, place.entry = place.entry, None
        if entry is not None and not entry.result():
            return self._later("those who came before take longer than they should")
        if self._pressed():
            return self._later(NO_MEMORY)
        if self.unknown > self._options.unknown_sockets:
            return self._later(TOO_MANY_UNKNOWN)
        return None

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
        if place.entry is not None:
            self._newcomers.leave(place.entry)
        self._unseat(place)
        self._places.remove(place)
        _decrease(self._of_address, place.address)

    def _full(self) -> str | None:
        """Why nobody at all may come in now."""
        if self.sockets >= self._options.sockets:
            return "this process holds as many sockets as it may"
        if self.unknown >= self._options.unknown_sockets:
            return TOO_MANY_UNKNOWN
        if self._pressed():
            return NO_MEMORY
        if self._crowded():
            return "those who came before are not served yet"
        return None

    def _later(self, reason: str) -> NoRoom:
        return NoRoom(503, self._waitlist.stand(self._clock(), self._newcomers.per_s), reason)

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
