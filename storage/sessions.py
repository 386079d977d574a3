"""Who is connected where, as all instances tell it: kept in memory, and gone with who told it.

Each instance holds a lease, which it renews as a whole, and what it told counts for as long as
that. It counts for nothing else: who needs a socket's truth asks the instance that holds it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from storage.values import Owner

# Renewed each second, by who may be late twice.
LEASE_MS = 4_000


class Session(Struct, frozen=True):
    """A greeted socket: its name, when it was greeted (ms since 1970), and what its client is."""

    id: str
    since: int
    client: str | None = None


class Seat(Struct, frozen=True):
    """A session, whose it is, and at which instance."""

    owner: Owner
    session: Session
    instance: str


class Page(Struct, frozen=True):
    """Some seats. `after` asks for the next ones; None: there are no more."""

    seats: Sequence[Seat]
    after: str | None


class Seats(Protocol):
    """One instance's part in it. All raise `errors.Unavailable` when the store is out of reach."""

    async def put(self, here: Mapping[Owner, Sequence[Session]]) -> Mapping[Owner, int]:
        """These persons have these sessions here, and no others; count those at others, after.

        So of two instances that put one each, at least one counts the other's, once each has seen
        the other's lease by a `keep` of its own.
        """

    async def keep(self, sessions: int) -> bool:
        """Renew the lease, and see whose leases stand; so many sessions are here.

        False: something of what was put is lost, so all is to be put again. Before the first one,
        nothing counts.
        """

    async def leave(self) -> None:
        """End the lease: nothing that was put here counts any more."""

    async def of(self, owner: Owner) -> Sequence[Seat]:
        """A person's, at all instances."""

    async def all(self, tenant: str, *, after: str | None = None, limit: int = 100) -> Page:
        """All of a tenant, in no order. A page may have fewer and somewhat more than `limit`.

        Who comes, goes or changes meanwhile may be missing or come twice.
        """

    async def instances(self) -> Mapping[str, int]:
        """How many sessions each instance said it has; two of one name are added."""
