"""What there is to know of one server of Redis: whether it answers, and whether it stores.

An operator is told why not: once when that begins, and once when it is over.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from storage.redis.breaker import Breaker

# Why a server does not serve; None: it does again.
Tell: TypeAlias = Callable[[str | None], None]

REASON_CHARACTERS = 200


class Way:
    """One server, as the calls to it found it."""

    def __init__(self, breaker: Breaker, connections: int, tell: Tell) -> None:
        self.breaker = breaker
        self.turns = asyncio.Semaphore(connections)
        self.awaited = False  # somebody tries until it answers
        self.full = False  # it stores nothing more
        self.demoted = False  # for it is a replica now
        self._tell = tell
        self._told: set[str] = set()  # kinds of reasons, until it serves again

    @property
    def serves(self) -> bool:
        """Whether the last calls were answered, and it stores."""
        return not (self.breaker.is_open or self.full)

    def answered(self) -> None:
        """A call was answered as was wished."""
        self.breaker.succeeded()
        self._well_again()

    def silent(self, why: str, *, surely: bool = False) -> None:
        """A call was not answered; `surely`: not because it took too long."""
        self.breaker.failed(surely=surely)
        if self.breaker.is_open:
            self._tell_once("away", why)

    def refused(self, kind: str, why: str) -> None:
        """It answered, and would not do what it was asked; `kind`: of such refusals."""
        self.breaker.succeeded()
        self._tell_once(kind, why)

    def ran_full(self, why: str) -> None:
        """It would not store anything, and goes on to answer what stores nothing."""
        self.breaker.succeeded()
        self.full = True
        self._tell_once("full", why)

    def has_room(self) -> None:
        """It stores again."""
        self.full = False
        self._well_again()

    def _tell_once(self, kind: str, why: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(why[:REASON_CHARACTERS])

    def _well_again(self) -> None:
        """What it refused it may refuse still: of that is told when it was away in between."""
        if self._told & {"away", "full"} and self.serves:
            self._told.clear()
            self._tell(None)
