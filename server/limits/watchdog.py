"""Notices that the event loop is held, while it is: then nobody is answered, and nobody says why.

A beat of the loop is the measure. A thread looks whether it comes, and writes down where the loop's
own thread stands; it holds nothing of the loop's and so works while that does not.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable

from server.telemetry.failures import stands
from server.telemetry.logs import get_logger

BEATS = 8  # in the time after which the loop counts as held
_log = get_logger()


class Held(Exception):
    """The loop was held a short while ago."""


class Watchdog:
    """Of the loop that runs `beat`; `watch` is for a thread of its own."""

    def __init__(
        self,
        held_s: float,
        smooth_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`held_s`: so late, a beat is told; `smooth_s`: so long after it all is well again."""
        self.longest_s = 0.0  # by which a beat was late
        self.times = 0  # that the loop was held
        self._held_s = held_s
        self._smooth_s = smooth_s
        self._clock = clock
        self._pause_s = held_s / BEATS
        self._beat_at = clock()
        self._held_at = float("-inf")  # when it was found to be held, or was let go
        self._told = False
        self._loop_thread = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Beat, and have a thread watch, until cancelled."""
        self._loop_thread = threading.get_ident()
        self._beat_at = self._clock()
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            while True:
                await asyncio.sleep(self._pause_s)
                self.beat()
        finally:
            self._over.set()

    async def ask(self) -> None:
        """The probe: `Held` until the loop has been smooth for a while."""
        if self._clock() - self._held_at < self._smooth_s:
            raise Held(
                f"the event loop was held {self.times} times, {self.longest_s:.1f} s at most"
            )

    def beat(self) -> None:
        """The loop has come by."""
        now = self._clock()
        late_s = now - self._beat_at - self._pause_s
        self._beat_at = now
        self.longest_s = max(self.longest_s, late_s)
        if late_s >= self._held_s:
            self.times += 1
            self._held_at = now
            _log.warning("the event loop goes on", held_s=round(late_s, 1))
        self._told = False

    def look(self) -> None:
        """The thread's: is the beat late, and was it not told yet?"""
        late_s = self._clock() - self._beat_at - self._pause_s
        if late_s < self._held_s or self._told:
            return
        self._told = True
        _log.error("the event loop is held", held_s=round(late_s, 1), stack=self._stack())

    def _watch(self) -> None:
        looked_at = self._clock()
        while not self._over.wait(self._pause_s):
            now = self._clock()
            # Else this thread did not run either: the whole process stood still.
            if now - looked_at < self._held_s:
                self.look()
            looked_at = now

    def _stack(self) -> list[str]:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the only way
        return [] if frame is None else stands(frame)
