"""How many sockets may be open: of all, of an address, a tenant, a person, and of nobody known.

Decided at once, and for the newcomer alone: no socket that is open ever closes for another one.
"""

from collections import Counter
from collections.abc import Hashable
from typing import TypeVar

from msgspec import Struct

from protocol.codes import CloseCode
from server.auth.principal import Principal
from server.limits.addresses import network
from server.limits.options import Options
from storage.values import Owner

K = TypeVar("K", bound=Hashable)

RETRY_AFTER_S = 1


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


class Admission:
    """Counts the sockets of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
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
        if self.sockets >= self._options.sockets:
            return NoRoom(503, RETRY_AFTER_S, "this process holds as many sockets as it may")
        if self.unknown >= self._options.unknown_sockets:
            return NoRoom(503, RETRY_AFTER_S, "too many sockets have not said who they are")
        if self._of_address[address] >= self._options.sockets_per_address:
            return NoRoom(429, RETRY_AFTER_S, "the address has as many sockets as it may")
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
