"""What all instances have in common beside the database: in Redis, or here where there is one."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from server.config import Settings
from server.http.health import Probe
from server.telemetry.logs import get_logger
from storage.bus import Bus
from storage.counters import Counters
from storage.log import EventLog
from storage.memory.bus import MemoryBus
from storage.memory.log import MemoryLog
from storage.memory.sessions import MemorySeats
from storage.memory.tickets import MemoryTickets
from storage.sessions import Seats
from storage.tickets import TicketStore

_log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Commons:
    """Held by all instances together."""

    log: EventLog
    bus: Bus
    tickets: TicketStore
    seats: Callable[[str], Seats]  # of the instance of that name
    counters: Counters | None = None  # None: nobody else counts
    carry: Callable[[], Coroutine[Any, Any, None]] | None = None  # runs meanwhile, for the bus
    ask: Probe | None = None  # whether it can be reached; None: it is in this process


@asynccontextmanager
async def commons_of(settings: Settings) -> AsyncIterator[Commons]:
    """With the other instances, or with nobody where no Redis is configured."""
    if settings.redis_url is None:
        yield Commons(
            log=MemoryLog(settings.log),
            bus=MemoryBus(),
            tickets=MemoryTickets(),
            seats=MemorySeats,
        )
        return
    # Only here: a process of its own starts without what it does not need.
    from storage.redis.bus import RedisBus  # noqa: PLC0415
    from storage.redis.counters import RedisCounters  # noqa: PLC0415
    from storage.redis.link import open_link  # noqa: PLC0415
    from storage.redis.log import RedisLog  # noqa: PLC0415
    from storage.redis.roundtrip import RoundTrip  # noqa: PLC0415
    from storage.redis.sessions import RedisSeats  # noqa: PLC0415
    from storage.redis.tickets import RedisTickets  # noqa: PLC0415

    async with open_link(settings.redis_url, settings.redis, _tell_of_redis) as link:
        bus = RedisBus(link)
        yield Commons(
            log=RedisLog(link, settings.log),
            bus=bus,
            tickets=RedisTickets(link),
            seats=partial(RedisSeats, link),
            counters=RedisCounters(link),
            carry=bus.run,
            ask=RoundTrip(link).ask,
        )


def _tell_of_redis(server: str, why: str | None) -> None:
    """One line when a server stops to serve, and one when it serves again."""
    if why is None:
        _log.info("Redis serves again", server=server or None)
    else:
        _log.warning("Redis does not serve", server=server or None, why=why)
