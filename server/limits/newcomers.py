"""Who comes in at once, and who waits here for a turn: one after the other, as they came."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

from server.limits.pace import HELD_S, LATE_S, TICK_S, Pace

LOOKED_S = 0.2  # after each newcomer, whether the loop keeps up with those who came in
SENT_AWAY_AT_ONCE = 10
LONGEST_S = 5.0  # for a turn; who waits longer is sent away, before it gives up

# Whether it is one's turn; if not, it waited too long.
Entry: TypeAlias = asyncio.Future[bool]
Later: TypeAlias = Callable[[float, Callable[[], None]], object]


class Newcomers:
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
        self._waiting: OrderedDict[Entry, float] = OrderedDict()  # since when
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
        return len(self._waiting) >= max(1.0, HELD_S * min(self._pace.per_s, self.per_s))

    def join(self) -> Entry | None:
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

    def leave(self, turn: Entry) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(turn, None)

    def _look_later(self, now: float) -> None:
        self._looks_at = now + TICK_S
        later = self._later or asyncio.get_running_loop().call_later
        later(TICK_S, self._look)

    def _look(self) -> None:
        """Let in whom there is time for, and send away who has waited too long."""
        now, due, self._looks_at = self._clock(), self._looks_at, None
        try:
            held_up = self._held_up()
            late = due is not None and now - due > LATE_S
            self._pace.pass_to(now, late=late or held_up)
            while self._waiting and not held_up and self._pace.take():
                self._waiting.popitem(last=False)[0].set_result(True)
            self._send_away(now)
        finally:
            if self._waiting or now < self._looks_until:
                self._look_later(now)

    def _send_away(self, now: float) -> None:
        """A few: that costs time as well."""
        for entry, since in list(islice(self._waiting.items(), SENT_AWAY_AT_ONCE)):
            if now - since > LONGEST_S:
                del self._waiting[entry]
                entry.set_result(False)
