"""One-time values with a life, that all instances hand out and take back.

What is put can be taken once, through whichever instance, until its life ends. A store that lost
what it had lets nobody in: who holds such a value gets another one.
"""

from typing import Protocol

from msgspec import Struct


class Full(Struct, frozen=True):
    """It was not put: there are as many as there may be, in all or of that holder."""

    of_holder: bool
    wait_ms: int  # until the oldest of them ends


class Found(Struct, frozen=True):
    """What was put under the name. `used`: it was taken before. The repr tells no value."""

    value: bytes
    used: bool = False

    def __repr__(self) -> str:
        return f"Found({len(self.value)} bytes, used={self.used})"


class TicketStore(Protocol):
    """Every call is one atomic step, seen alike by all. `errors.Unavailable`: ask again, or refuse.

    A take whose reply was lost has taken: asked again, it says so.
    """

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
        """Keep a value under a name that was never used. None: it is kept.

        `most` is how many may wait to be taken at once, in all, and of one holder. All are put
        with the same life.
        """

    async def take(self, name: bytes) -> Found | None:
        """The value, once; afterwards that it was used, for as long as it would have lived.

        None: there is none, or not any more. No more used ones are remembered than `most`, the
        latest.
        """
