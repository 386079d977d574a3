"""One-time values of a single process: the executable meaning of `storage.tickets`."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from storage.ids import monotonic_ms
from storage.tickets import Found, Full


class _Kept(Struct):
    value: bytes
    holder: str
    until: int


class MemoryTickets:
    """A TicketStore whose clients are all in this process; `clock` gives milliseconds."""

    def __init__(self, clock: Callable[[], int] = monotonic_ms) -> None:
        self._clock = clock
        self._out: dict[bytes, _Kept] = {}  # oldest first, for all live equally long
        self._used: dict[bytes, _Kept] = {}  # in the order of their use
        self._held: Counter[str] = Counter()
        self._most = 0

    async def put(
        self,
        name: bytes,
        value: bytes,
        *,
        holder: str,
        life_ms: int,
        most: int,
        most_of_holder: int,
    ) -> Full | None:
        self._most = most
        now = self._forget_old()
        if name in self._out:
            self._take_back(name)  # whoever put it has not heard so, and says it again
        if self._held[holder] >= most_of_holder:
            oldest = next(kept for kept in self._out.values() if kept.holder == holder)
            return Full(of_holder=True, wait_ms=oldest.until - now)
        if len(self._out) >= most:
            return Full(of_holder=False, wait_ms=next(iter(self._out.values())).until - now)
        self._out[name] = _Kept(value, holder, now + life_ms)
        self._held[holder] += 1
        return None

    async def take(self, name: bytes) -> Found | None:
        now = self._forget_old()
        used = self._used.get(name)
        if used is not None and used.until > now:
            return Found(used.value, used=True)
        kept = self._take_back(name) if name in self._out else None
        if kept is None:
            return None
        self._used[name] = kept
        return Found(kept.value)

    def _forget_old(self) -> int:
        now = self._clock()
        while self._out and self._out[oldest := next(iter(self._out))].until <= now:
            self._take_back(oldest)
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest].until > now and len(self._used) <= self._most:
                break
            del self._used[oldest]
        return now

    def _take_back(self, name: bytes) -> _Kept:
        kept = self._out.pop(name)
        self._held[kept.holder] -= 1
        if not self._held[kept.holder]:
            del self._held[kept.holder]
        return kept
