"""What the plain HTTP side is made of: handed down once by the composition root."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.auth.doors import Doors
from server.auth.revocations import Revocations
from server.auth.tickets import Tickets
from server.auth.tokens import Tokens
from server.auth.visitors import Visitors
from server.conversations import Conversations
from server.http.health import About, Load, Probe
from server.http.options import Options
from server.limits.options import Options as Limits
from server.limits.rates import Rates
from server.limits.shares import Shares
from storage.store import Store


@dataclass(frozen=True, kw_only=True)
class HttpParts:
    """Everything a request may lean on."""

    about: About
    options: Options = field(default_factory=Options)
    limits: Limits
    doors: Doors
    tokens: Tokens
    tickets: Tickets
    visitors: Visitors
    revocations: Revocations
    rates: Rates
    conversations: Conversations
    store: Store
    fetches: Shares  # requests that read, together with those of sockets
    commands: Shares  # and those that change
    searches: Shares  # each of which reads a lot
    probes: Mapping[str, Probe]  # by the dependency's name, as `/health/ready` tells it
    load: Callable[[], Load]
    draining: Callable[[], bool]
    base_path: str = ""  # with a slash before it and none behind, or empty
    clock: Callable[[], float] = time.monotonic
