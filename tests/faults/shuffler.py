"""What a bad network between publish and subscribe would do: messages held back, doubled, swapped.

Everything else that Redis says on a connection goes on as it came.
"""

import random

MESSAGES = (b"message", b"smessage")
HELD = 4  # at most; then they go on, in another order
REPEATED = 0.2


class Shuffler:
    """One connection's replies, whole ones at a time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._rest = b""
        self._held: list[bytes] = []
        self.faults = 0  # deliveries that came twice, and stretches in another order

    def feed(self, data: bytes) -> bytes:
        """What goes on now."""
        self._rest += data
        out = b""
        at = 0
        while (end := _end(self._rest, at)) is not None:
            reply, at = self._rest[at:end], end
            if _is_message(reply):
                twice = self._chance.random() < REPEATED
                self.faults += twice
                self._held += [reply] * (1 + twice)
            else:
                out += self.rest() + reply  # a message never passes what changes who hears it
            if len(self._held) >= HELD:
                out += self.rest()
        self._rest = self._rest[at:]
        return out

    def rest(self) -> bytes:
        """What was held back."""
        before = b"".join(self._held)
        self._chance.shuffle(self._held)
        held, self._held = b"".join(self._held), []
        self.faults += held != before
        return held


def _is_message(reply: bytes) -> bool:
    return reply[:1] in b"*>" and reply.split(b"\r\n", 3)[2] in MESSAGES


def _end(data: bytes, at: int) -> int | None:
    """Where the reply that begins there ends; None if it is not whole."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    kind, after = data[at : at + 1], line + 2
    if kind in b"+-:,(#_":
        return after
    size = int(data[at + 1 : line])
    if kind in b"$=!":
        end = after if size < 0 else after + size + 2
        return end if end <= len(data) else None
    inner: int | None = after
    for _ in range(size * 2 if kind in b"%|" else size):
        inner = None if inner is None else _end(data, inner)
    return inner
