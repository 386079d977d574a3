"""Who is connected where, in one process: the executable meaning of `storage.sessions`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from storage.ids import monotonic_ms
from storage.sessions import LEASE_MS, Page, Seat, Session
from storage.values import Owner


class Hall:
    """What several instances in one process share; `clock` gives milliseconds."""

    def __init__(self, clock: Callable[[], int] = monotonic_ms) -> None:
        self.clock = clock
        self.rows: list[MemorySeats] = []

    @property
    def leased(self) -> "list[MemorySeats]":
        """Those whose leases stand."""
        now = self.clock()
        return [row for row in self.rows if row.until > now]


class MemorySeats:
    """An instance's seats in a hall; alone in it, it counts no others."""

    def __init__(self, instance: str, hall: Hall | None = None) -> None:
        self.instance = instance
        self.until = 0
        self.told = 0
        self.taken: dict[Owner, tuple[Session, ...]] = {}
        self._hall = hall or Hall()
        self._hall.rows.append(self)

    async def put(self, here: Mapping[Owner, Sequence[Session]]) -> Mapping[Owner, int]:
        for owner, sessions in here.items():
            if sessions:
                self.taken[owner] = tuple(sessions)
            else:
                self.taken.pop(owner, None)
        others = [row for row in self._hall.leased if row is not self]
        return {owner: sum(len(row.taken.get(owner, ())) for row in others) for owner in here}

    async def keep(self, sessions: int) -> bool:
        self.until, self.told = self._hall.clock() + LEASE_MS, sessions
        return True

    async def leave(self) -> None:
        self.until = 0
        self.taken.clear()

    async def of(self, owner: Owner) -> Sequence[Seat]:
        return [seat for seat in self._seats() if seat.owner == owner]

    async def all(self, tenant: str, *, after: str | None = None, limit: int = 100) -> Page:
        seats = [seat for seat in self._seats() if seat.owner.tenant == tenant]
        begin = int(after or 0)
        end = begin + limit
        return Page(seats[begin:end], str(end) if end < len(seats) else None)

    async def instances(self) -> Mapping[str, int]:
        told = Counter[str]()
        for row in self._hall.leased:
            told[row.instance] += row.told
        return told

    def _seats(self) -> list[Seat]:
        return [
            Seat(owner, session, row.instance)
            for row in self._hall.leased
            for owner, sessions in row.taken.items()
            for session in sessions
        ]
