"""One-time values on Redis."""

from storage.redis.link import Argument, Link
from storage.redis.scripts import Script
from storage.tickets import Found, Full

_PUT = Script("ticket_put", shares="tickets")
_TAKE = Script("ticket_take", shares="tickets")


class RedisTickets:
    """See `storage.tickets.TicketStore`.

    All are in one bucket, for they are counted together. They are few, and live for seconds.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        names = link.names
        self._keys = [names.of(kind, "tickets") for kind in ("records", "out", "used")]

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
        """See `TicketStore.put`."""
        asked: list[Argument] = [name, value, holder, life_ms, most, most_of_holder]
        refused = await self._link.call(_PUT, self._keys, asked)
        return Full(of_holder=bool(refused[0]), wait_ms=refused[1]) if refused else None

    async def take(self, name: bytes) -> Found | None:
        """See `TicketStore.take`."""
        found = await self._link.call(_TAKE, self._keys, [name])
        return Found(found[1], used=bool(found[0])) if found else None
