"""Appends of all writers of this instance: one call of the log at a time, for whoever is ready."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

from server.streams.options import Options
from server.streams.writer import Writer
from storage.log import Append, EventLog, Refusal

UNANSWERED_PAUSE_S = 0.1
# From which share of a processor's time on chunks grow, and at which they are at their largest.
BUSY, FULL = 0.5, 0.9
LOOK_S = 0.1  # between two looks at that share

# Acts on a refusal other than that no reply came, so that the writer can go on or is lost.
Mend = Callable[[Writer, Refusal], Coroutine[None, None, None]]


class Pump:
    """Takes what writers have, appends it in one batch, and tells each what became of it."""

    def __init__(
        self,
        log: EventLog,
        mend: Mend,
        options: Options,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        """`spent` is the processor's time that this process took so far."""
        self.options = options
        self.distance_s = options.gather_ms / 1000  # between two appends of one answer
        self._log = log
        self._mend = mend
        self._spent = spent
        self._looked = 0.0, 0.0  # when last, and what was spent by then
        self._ready: dict[Writer, None] = {}
        self._wake = asyncio.Event()
        self._mending: set[asyncio.Task[None]] = set()

    def ready(self, writer: Writer) -> None:
        """It has something to append."""
        self._ready[writer] = None
        self._wake.set()

    async def run(self) -> None:
        """Append until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            writers, self._ready = list(self._ready), {}
            await self._append(writers)
            if clock() >= self._looked[0] + LOOK_S:
                self._space(clock())

    def _space(self, now: float) -> None:
        """Under load appends come less often and carry more: a chunk costs what ten tokens do."""
        before, spent_before = self._looked
        spent = self._spent()
        self._looked = now, spent
        least, most = self.options.gather_ms / 1000, self.options.gather_most_ms / 1000
        if least and most > least:
            busy = (spent - spent_before) / (now - before)
            grown = min(1.0, max(0.0, (busy - BUSY) / (FULL - BUSY)))
            self.distance_s = least + grown * (most - least)

    async def _append(self, writers: list[Writer]) -> None:
        taken = [(writer, _taken(writer)) for writer in writers]
        batch = [append for _, appends in taken for append in appends]
        results = await self._log.append(batch) if batch else []
        at = 0
        for writer, appends in taken:
            refusal = writer.took(results[at : at + len(appends)])
            at += len(appends)
            if refusal is Refusal.UNAVAILABLE:
                asyncio.get_running_loop().call_later(UNANSWERED_PAUSE_S, self.ready, writer)
            elif refusal is not None:
                task = asyncio.create_task(self._mend(writer, refusal))
                self._mending.add(task)
                task.add_done_callback(self._mending.discard)


def _taken(writer: Writer) -> Sequence[Append]:
    """What it has to append; one that cannot say so fails alone, and its answer with it."""
    try:
        return writer.take()
    except Exception as error:  # noqa: BLE001 - all other answers go on
        writer.fail(error)
        return ()
