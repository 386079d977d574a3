"""One-time tickets: for a client that can put a credential nowhere but into the URL of a socket."""

import hashlib
import secrets
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from protocol.codes import CloseCode, ErrorCode
from protocol.types import Guarded
from server.auth.doors import normal_origin
from server.auth.options import Options
from server.auth.principal import Principal
from server.auth.tokens import TokenRefused
from server.errors import ChatError, RateLimited
from storage.tickets import TicketStore
from storage.values import Owner

TICKET_BYTES = 32


class Ticket(Guarded, frozen=True):
    """What is handed out, once; `expires_at` in unix seconds."""

    text: str
    expires_at: float


class _Issued(Struct):
    principal: Principal
    origin: str | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Issued).decode


class Tickets:
    """Tickets of all instances, known by their hashes.

    A used one is known until it would have ended, unless so many were used since; it is good for
    nothing in any case. StorageError: none is issued, and none lets in.
    """

    def __init__(
        self,
        store: TicketStore,
        options: Options,
        *,
        wall_clock: Callable[[], float] = time.time,
        random: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._store = store
        self._options = options
        self._wall_clock = wall_clock
        self._random = random

    async def issue(self, principal: Principal, origin: str | None) -> Ticket:
        """A ticket that speaks for this principal, from this Origin alone; else `ChatError`."""
        options = self._options
        text, life_s = self._random(TICKET_BYTES), options.ticket_life_s
        expires_at = self._wall_clock() + life_s
        full = await self._store.put(
            _hash(text),
            _encode(_Issued(principal, normal_origin(origin))),
            holder=_holder(principal.owner),
            life_ms=round(life_s * 1000),
            most=options.tickets,
            most_of_holder=options.tickets_per_user,
        )
        if full is None:
            return Ticket(text, expires_at)
        wait_ms = max(1, full.wait_ms)
        if full.of_holder:
            words = "You hold as many tickets as you may; use them, or ask again later."
            raise RateLimited(words, wait_ms, options.tickets_per_user)
        words = "Too many tickets are out; ask again in a moment."
        raise ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=wait_ms)

    async def redeem(self, text: str, origin: str | None) -> Principal:
        """Who the ticket speaks for; it is good for nothing after. Else `TokenRefused`."""
        found = await self._store.take(_hash(text))
        if found is None:
            raise _refused("there is no such ticket, or not any more")
        try:
            issued = _decode(found.value)
        except msgspec.DecodeError:
            raise _refused("the ticket is of another version") from None
        if found.used:
            raise _refused("the ticket was used before", replayed=issued.principal.owner)
        # Taken also from elsewhere: a ticket that went astray ends here.
        if normal_origin(origin) != issued.origin:
            raise _refused("the ticket is bound to another origin")
        return issued.principal


def _holder(owner: Owner) -> str:
    return msgspec.json.encode([owner.tenant, owner.user]).decode()


def _refused(reason: str, *, replayed: Owner | None = None) -> TokenRefused:
    return TokenRefused(CloseCode.UNAUTHENTICATED, reason, replayed=replayed)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
