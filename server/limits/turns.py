"""Who comes in at once, and who waits here for a turn: one after the other, as they came."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from server.limits.pace import HELD_S, LATE_S, TICK_S, Pace

LOOKED_S = 0.2  # after each newcomer, whether the loop keeps up with those who came in
LONGEST_S = 5.0  # for a turn; before whoever waits so long gives up, it is sent away

# Whether it is one's turn; if not, it waited too long.
Turn: TypeAlias = asyncio.Future[bool]
Later: TypeAlias = Callable[[float, Callable[[], None]], object]


class Turns:
    """Lets newcomers in at a pace; while it is `held_up`, nobody who waits."""

    def __init__(
        self,
        most_per_s: float,
        *,
        held_up: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        """`later` calls something after some seconds, as the running loop does."""
        self._held_up = held_up
        self._clock = clock
        self._later = later
        self._pace = Pace(most_per_s, clock())
        self._waiting: OrderedDict[Turn, float] = OrderedDict()  # since when
        self._looks_at: float | None = None
        self._looks_until = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def per_s(self) -> float:
        """How many came in in a second lately, or would have."""
        return self._pace.measured_per_s

    @property
    def full(self) -> bool:
        """Whether so many wait that others had better come again."""
        return len(self._waiting) >= max(1.0, HELD_S * self.per_s)

    def join(self) -> Turn | None:
        """A turn, to be waited for; None: it is now."""
        now = self._clock()
        self._looks_until = now + LOOKED_S
        if self._looks_at is None:
            self._pace.pass_to(now, late=False)
            self._look_later(now)
        if not self._waiting and self._pace.take():
            return None
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = now
        return turn

    def leave(self, turn: Turn) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(turn, None)

    def _look_later(self, now: float) -> None:
        self._looks_at = now + TICK_S
        later = self._later or asyncio.get_running_loop().call_later
        later(TICK_S, self._look)

    def _look(self) -> None:
        """Let in whom there is time for."""
        now, due = self._clock(), self._looks_at
        held_up = self._held_up()
        late = due is not None and now - due > LATE_S
        self._pace.pass_to(now, late=late or held_up)
        while self._waiting and not held_up and self._pace.take():
            self._waiting.popitem(last=False)[0].set_result(True)
        # One at a time: to be sent away costs time as well.
        if self._waiting and now - next(iter(self._waiting.values())) > LONGEST_S:
            self._waiting.popitem(last=False)[0].set_result(False)
        self._looks_at = None
        if self._waiting or now < self._looks_until:
            self._look_later(now)
