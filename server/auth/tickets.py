"""One-time tickets: for a client that can put a credential nowhere but into the URL of a socket."""

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from protocol.codes import CloseCode, ErrorCode
from protocol.types import Guarded
from server.auth.doors import normal_origin
from server.auth.options import Options
from server.auth.principal import Principal
from server.auth.tokens import TokenRefused
from server.errors import ChatError, RateLimited
from storage.values import Owner

TICKET_BYTES = 32


class Ticket(Guarded, frozen=True):
    """What is handed out, once; `expires_at` in unix seconds."""

    text: str
    expires_at: float


class _Issued(Struct):
    principal: Principal
    origin: str | None
    until: float


class Tickets:
    """Tickets of this process, known by their hashes.

    A used one is known until it would have ended, unless so many were used since; it is good for
    nothing in any case.
    """

    def __init__(
        self,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        random: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._options = options
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._issued: dict[bytes, _Issued] = {}  # oldest first, for all live equally long
        self._used: dict[bytes, _Issued] = {}  # in the order of their use
        self._held: Counter[Owner] = Counter()

    def issue(self, principal: Principal, origin: str | None) -> Ticket:
        """A ticket that speaks for this principal, from this Origin alone; else `ChatError`."""
        self._forget_old()
        if len(self._issued) >= self._options.tickets:
            words = "Too many tickets are out; ask again in a moment."
            raise ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=self._wait_ms())
        most = self._options.tickets_per_user
        if self._held[principal.owner] >= most:
            words = "You hold as many tickets as you may; use them, or ask again later."
            raise RateLimited(words, self._wait_ms(), most)
        text, life_s = self._random(TICKET_BYTES), self._options.ticket_life_s
        issued = _Issued(principal, normal_origin(origin), self._clock() + life_s)
        self._issued[_hash(text)] = issued
        self._held[principal.owner] += 1
        return Ticket(text, self._wall_clock() + life_s)

    def redeem(self, text: str, origin: str | None) -> Principal:
        """Who the ticket speaks for; it is good for nothing after. Else `TokenRefused`."""
        self._forget_old()
        name = _hash(text)
        used = self._used.get(name)
        if used is not None and used.until > self._clock():
            raise _refused("the ticket was used before", replayed=used.principal.owner)
        issued = self._issued.get(name)
        if issued is None:
            raise _refused("there is no such ticket, or not any more")
        self._take_back(name)  # also from elsewhere: a ticket that went astray ends here
        self._used[name] = issued
        if normal_origin(origin) != issued.origin:
            raise _refused("the ticket is bound to another origin")
        return issued.principal

    def _forget_old(self) -> None:
        now = self._clock()
        while self._issued:
            oldest = next(iter(self._issued))
            if self._issued[oldest].until > now:
                break
            self._take_back(oldest)
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest].until > now and len(self._used) <= self._options.tickets:
                return
            del self._used[oldest]

    def _take_back(self, name: bytes) -> None:
        owner = self._issued.pop(name).principal.owner
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _wait_ms(self) -> int:
        """Until the oldest ticket ends, and with it somebody's place."""
        oldest = next(iter(self._issued.values()))
        return max(1, round((oldest.until - self._clock()) * 1000))


def _refused(reason: str, *, replayed: Owner | None = None) -> TokenRefused:
    return TokenRefused(CloseCode.UNAUTHENTICATED, reason, replayed=replayed)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
