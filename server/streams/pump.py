"""Appends of all writers of this instance: one call of the log at a time, for whoever is ready."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from server.streams.options import Options
from server.streams.writer import Writer
from storage.log import Append, EventLog, Refusal

UNANSWERED_PAUSE_S = 0.1
# Of the time, appending may take one part in so many; beyond, chunks grow instead.
SHARE = 5
# How much the last append counts in what appending is reckoned to take.
WEIGHT = 0.2

# Acts on a refusal other than that no reply came, so that the writer can go on or is lost.
Mend = Callable[[Writer, Refusal], Coroutine[None, None, None]]


class Pump:
    """Takes what writers have, appends it in one batch, and tells each what became of it."""

    def __init__(self, log: EventLog, mend: Mend, options: Options) -> None:
        self.options = options
        self.distance_s = options.gather_ms / 1000  # between two appends of one answer
        self._log = log
        self._mend = mend
        self._takes_s = 0.0
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
            began = clock()
            await self._append(writers)
            self._space(clock() - began)

    def _space(self, took_s: float) -> None:
        """Under load appends come less often and carry more: a chunk costs what ten tokens do."""
        self._takes_s += WEIGHT * (took_s - self._takes_s)
        least, most = self.options.gather_ms / 1000, self.options.gather_most_ms / 1000
        if least:
            self.distance_s = max(least, min(most, SHARE * self._takes_s))

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
