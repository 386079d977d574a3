"""Appends of all writers of this instance: one call of the log at a time, for whoever is ready."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

from server.streams.options import Options
from server.streams.writer import Writer
from storage.log import Append, Appended, EventLog, Refusal, Refused

# Before what had no reply is asked again, at first; nobody says when the log is back.
UNANSWERED_PAUSE_S = 0.1
DOUBLINGS = 2  # of that pause
# In one call, if it is more than one answer's: after a time without the log all of them have much.
BATCH_BYTES = 1 << 20
# From which share of a processor's time on chunks grow, and at which they are at their largest; so
# many answers must speak for that, for fewer are not what takes the time.
BUSY, FULL = 0.5, 0.9
MANY = 100
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
        self._spoke: set[str] = set()  # since then, by the answers
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
            await self._append(self._take())
            if clock() >= self._looked[0] + LOOK_S:
                self._space(clock())

    def _space(self, now: float) -> None:
        """Under load appends come less often and carry more: a chunk costs what ten tokens do."""
        before, spent_before = self._looked
        spent = self._spent()
        speaking = min(1.0, len(self._spoke) / MANY)
        self._looked = now, spent
        self._spoke.clear()
        least, most = self.options.gather_ms / 1000, self.options.gather_most_ms / 1000
        if least and most > least:
            busy = (spent - spent_before) / (now - before)
            grown = min(1.0, max(0.0, (busy - BUSY) / (FULL - BUSY)))
            self.distance_s = least + grown * speaking * (most - least)

    def _take(self) -> list[tuple[Writer, Sequence[Append]]]:
        """What those have who are ready, up to a bound; the others stay ready."""
        writers, self._ready = list(self._ready), {}
        taken: list[tuple[Writer, Sequence[Append]]] = []
        size = 0
        for place, writer in enumerate(writers):
            if size >= BATCH_BYTES:
                self._ready = dict.fromkeys(writers[place:])
                self._wake.set()
                break
            if writer.still:  # it comes again when it may
                continue
            appends = _taken(writer)
            taken.append((writer, appends))
            for append in appends:
                size += len(append.body)
        return taken

    async def _append(self, taken: Sequence[tuple[Writer, Sequence[Append]]]) -> None:
        batch = [append for _, appends in taken for append in appends]
        self._spoke.update(writer.answer.id for writer, appends in taken if appends)
        try:
            results = await self._log.append(batch) if batch else []
        except Exception as error:  # noqa: BLE001 - whosever fault: all others go on
            for writer, appends in taken:
                if appends:
                    writer.fail(error)
            return
        at = 0
        for writer, appends in taken:
            self._took(writer, results[at : at + len(appends)])
            at += len(appends)

    def _took(self, writer: Writer, results: Sequence[Appended | Refused]) -> None:
        try:
            refusal = writer.took(results)
        except Exception as error:  # noqa: BLE001 - all other answers go on
            writer.fail(error)
            return
        if refusal is Refusal.UNAVAILABLE:
            pause = UNANSWERED_PAUSE_S * 2 ** min(writer.unanswered - 1, DOUBLINGS)
            asyncio.get_running_loop().call_later(pause, self.ready, writer)
        elif refusal is not None:
            self.move(writer, refusal)

    def move(self, writer: Writer, refusal: Refusal) -> None:
        """Its log is in another epoch, or its answer is another's: see to it."""
        writer.moving = True
        task = asyncio.create_task(self._moved(writer, refusal))
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    async def _moved(self, writer: Writer, refusal: Refusal) -> None:
        try:
            await self._mend(writer, refusal)
        except Exception as error:  # noqa: BLE001 - mended again at once, it would never end
            writer.fail(error)
        finally:
            writer.moving = False
            self.ready(writer)


def _taken(writer: Writer) -> Sequence[Append]:
    """What it has to append; one that cannot say so fails alone, and its answer with it."""
    try:
        return writer.take()
    except Exception as error:  # noqa: BLE001 - all other answers go on
        writer.fail(error)
        return ()
