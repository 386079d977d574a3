"""How many files this process may have open: each socket is one, and 1,024 is a usual bound."""

import resource
from contextlib import suppress

SPARE = 128  # the database's, the log's, and requests that are no sockets


def room_for(sockets: int) -> int:
    """Raise the bound for so many, as far as the machine lets us; for how many there is room."""
    wanted = sockets + SPARE
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        with suppress(ValueError, OSError):  # macOS promises more than it gives
            raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            most = raised
    return sockets if most == resource.RLIM_INFINITY else min(sockets, max(0, most - SPARE))
