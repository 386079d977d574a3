"""How quickly newcomers are let in, and when those for whom that is too slow are to come again.

The rate that is set is the most. Below it, it is what the event loop keeps up with: while it does,
the rate grows steadily; each time that it does not, the rate falls by a part of itself. Who come
first after a rest come at a moderate one: too many at once would be late for all who are here.
"""

TICK_S = 0.01  # so often it is looked whether the loop keeps up, and some are let in
LATE_S = 0.01  # so late, a look says that it does not: whoever reads an answer waits as long
GROWTH = 1000.0  # per second, in each second
LOSS = 0.1  # of the rate, for each late look
BEGIN_PER_S = 250.0  # where nobody came for a while: how many it can be shows in half a second
REST_S = 1.0  # such a while
LEAST_PER_S = 50.0  # about a sixth of a slow core; else a loop that is always busy took nobody
AT_ONCE = 10  # let in in one turn of the loop that comes late; they take it about 25 ms
AT_ONCE_S = 0.025  # of a high rate, what falls to so long
UNUSED_S = 0.1  # of a low one, for what was not used of longer is lost
MEASURED_S = 2.0  # the time over which the rate is averaged for those who are sent away

HELD_S = 1.5  # so much of the line waits here, the rest comes again
EARLY_S = 0.25  # who comes again is to find the line neither full nor empty, also if a bit late
LINE_S = 30.0  # nobody is sent away for longer


class Pace:
    """How many may come in now, by a clock that goes only forward."""

    def __init__(self, most_per_s: float, now: float) -> None:
        self.per_s = self.measured_per_s = 0.0  # now, and of the last seconds
        self._most = most_per_s
        self._begin()
        self._least = min(LEAST_PER_S, most_per_s)
        self._saved = self._at_once
        self._at = now

    def pass_to(self, now: float, *, late: bool) -> None:
        """Time has passed, and the loop had more to do in it than it could, or not."""
        passed = max(0.0, now - self._at)
        self._at = now
        if passed > REST_S and not late:
            self._begin()
        else:
            self._adjust(passed, late=late)
        self._saved = min(self._saved + passed * self.per_s, self._at_once)

    def _begin(self) -> None:
        self.per_s = min(self._most, BEGIN_PER_S)
        self.measured_per_s = self._most  # nothing is known of it

    def _adjust(self, passed: float, *, late: bool) -> None:
        if late:
            self.per_s = max(self._least, self.per_s * (1 - LOSS))
        else:
            self.per_s = min(self._most, self.per_s + GROWTH * passed)
        weight = min(1.0, passed / MEASURED_S)
        self.measured_per_s += (self.per_s - self.measured_per_s) * weight

    @property
    def _at_once(self) -> float:
        return 1 + min(max(AT_ONCE, AT_ONCE_S * self.per_s), UNUSED_S * self.per_s)

    def take(self) -> bool:
        """Whether one more may come in now; then it counts."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class Waitlist:
    """Those who were sent away: each is told to come when the ones before it have been taken.

    It begins behind those who wait here. Behind its longest it begins anew, for who is told of a
    second beyond that may as well come earlier.
    """

    def __init__(self) -> None:
        self._ends_at = float("-inf")

    def stand(self, now: float, per_s: float) -> int:
        """Take the next place: in how many whole seconds to come back, at least one."""
        begins_at = max(self._ends_at, now + HELD_S)
        if begins_at - now >= LINE_S:
            begins_at = now + HELD_S
        self._ends_at = begins_at + 1 / per_s
        return max(1, int(begins_at - now - EARLY_S))
