"""The name by which one request or connection is found again, here and at its neighbours."""

import re
import secrets
from collections.abc import Callable

# W3C Trace Context, level 1: version, trace id, parent id, flags. Later versions may append.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?P<more>-.*)?"
)
_LONGEST = 128


def new_trace(chance: Callable[[int], str] = secrets.token_hex) -> str:
    """A new trace id: 128 random bits in hex, as Trace Context spells them."""
    return chance(16)


def trace_in(traceparent: str | None) -> str | None:
    """The trace a caller is already in, by a valid `traceparent`."""
    if traceparent is not None and len(traceparent) <= _LONGEST:
        match = _TRACEPARENT.fullmatch(traceparent)
        if match and (match["version"] != "00" or match["more"] is None):
            return match["trace"]
    return None


def trace_from(traceparent: str | None, chance: Callable[[int], str] = secrets.token_hex) -> str:
    """The caller's trace, or a new one."""
    return trace_in(traceparent) or new_trace(chance)
