"""What sockets are made with: handed down once by the composition root."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from protocol.frames.objects import Server
from protocol.session import Timing
from server.auth.doors import Doors
from server.auth.revocations import Revocations
from server.auth.tickets import Tickets
from server.auth.tokens import Tokens
from server.conversations import Conversations
from server.errors import ChatError
from server.limits.admission import Admission
from server.limits.options import Options as LimitOptions
from server.limits.rates import Rates
from server.limits.shares import Shares
from server.sessions.registry import Registry
from server.sessions.seating import Seating
from server.streams.hub import Hub
from server.telemetry.lines import ConnectionClosed
from server.ws.options import Options
from storage.store import Store

# Some milliseconds of work. One by one would take too long where the loop's turns are long.
GIVEN_UP_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything a socket leans on; shared by all of them."""

    server: Server
    features: tuple[str, ...]
    options: Options
    timing: Timing
    doors: Doors
    tokens: Tokens
    tickets: Tickets
    revocations: Revocations
    admission: Admission
    rates: Rates
    fetches: Shares
    commands: Shares
    limits: LimitOptions
    registry: Registry
    seating: Seating
    conversations: Conversations
    hub: Hub
    store: Store
    # The answer in the place of an upgrade, under a trace.
    deny: Callable[[ChatError, str], Response]
    # A task that outlives the socket it was begun for.
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    report: Callable[[ConnectionClosed], None]
    fault: Callable[[str, BaseException], None]  # a trace, and our own failure
    clock: Callable[[], float]  # monotonic
    wall: Callable[[], float]  # unix seconds
    giving_up: asyncio.Semaphore = field(  # sockets too slow, by turns
        default_factory=lambda: asyncio.Semaphore(GIVEN_UP_AT_ONCE)
    )
