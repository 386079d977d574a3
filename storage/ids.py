"""Ids that sort by the time they were made: `m_01jf3q…`, a kind, 48 bits of time, 80 of chance.

The order keeps index pages hot and lets tables be partitioned by id. It is a convenience, not a
promise: rows of a conversation are ordered by their commit numbers.
"""

import secrets
import time
from collections.abc import Callable
from enum import StrEnum

# Crockford's alphabet: no i, l, o, u, so an id survives being read aloud. Lower case, because one
# case sorts alike under every collation.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
CHANCE_BITS = 80
STEP_BITS = 32


class Kind(StrEnum):
    """What an id names; it stands before the underscore."""

    CONVERSATION = "c"
    MESSAGE = "m"
    TOOL_CALL = "t"
    JOB = "j"
    INCARNATION = "i"
    USER = "u"
    VISITOR = "v"
    SITE = "s"
    KEY = "k"
    PSEUDONYM = "p"


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds since some moment; never set back."""
    return time.monotonic_ns() // 1_000_000


class Ids:
    """Mints ids; each is greater than the one before, also when the clock stands or jumps back."""

    def __init__(
        self,
        clock: Callable[[], int] = wall_clock,
        chance: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._last = 0

    def __call__(self, kind: Kind) -> str:
        """A new id of that kind."""
        value = self._clock() << CHANCE_BITS | self._chance(CHANCE_BITS)
        if value <= self._last:
            # A step of chance, not of one: a neighbour's id must not be a guess away.
            value = self._last + 1 + self._chance(STEP_BITS)
        self._last = value
        return f"{kind}_{_spell(value)}"


def _spell(value: int) -> str:
    return "".join(ALPHABET[value >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
