"""Who owns the answers that are made here: their tasks outlive the sockets that asked for them.

An answer belongs to an incarnation, a process from its start to its end. This one tells the
database every 3 s that it lives. After 9 s without, others may think it dead, so it writes nothing
until it has heard that an answer is still its own.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from server import words
from server.generation import endings, transcript
from server.generation.budget import RetryBudget
from server.generation.checkpoints import Checkpoints
from server.generation.means import Means
from server.generation.options import Options
from server.generation.patience import Patience
from server.generation.recovery import PAGE, Recovery
from server.generation.run import Halt, Run
from server.generation.tools import waits
from server.providers.catalogue import Catalogue
from server.streams.hub import Hub
from server.telemetry.lines import AnswerEnded
from server.telemetry.logs import get_logger
from server.words import AnyWord, Wake
from storage.bus import Bus, Listening
from storage.errors import NotFound, StorageError
from storage.ids import Ids, Kind
from storage.log import EventLog
from storage.records import Answer, Ended, RunState, Stopping, Unfinished
from storage.store import Store

LOOK_S = 1.0  # between two looks at deadlines, and at how long ago we were heard
STALE_S = 9.0  # so old, a life sign no longer keeps others from taking what is ours
TAKEN_WITHIN_S = 5.0  # how long a start waits for the ends of what it took
CUT_SHORT_S = 5.0  # how long a drain waits for runs that were told to leave off

_log = get_logger()


class Supervisor:
    """Runs answers; `run` must be running meanwhile, after `recover`."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        event_log: EventLog,
        bus: Bus,
        catalogue: Catalogue,
        ids: Ids,
        instance: str,
        report: Callable[[AnswerEnded], None],
        proof_of_death: bool,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options = options or Options()
        self._means = Means(
            store=store,
            hub=hub,
            catalogue=catalogue,
            ids=ids,
            options=self._options,
            budget=RetryBudget(self._options.retry_share, self._options.retry_reserve),
            patience=Patience(sleep=sleep, chance=chance),
            clock=clock,
            sleep=sleep,
            chance=chance,
        )
        self._store = store.internal
        self._bus = bus
        self._listening: list[Listening] = []
        self._instance = instance
        self._report = report
        self._checkpoints = Checkpoints(store.internal.answers, event_log)
        self._recovery = Recovery(
            self._means,
            proof_of_death=proof_of_death,
            start=self.start,
            ended=self.ended,
            own=self._own,
        )
        self._incarnation = ids(Kind.INCARNATION)
        self._beaten_at: float | None = None  # when the last life sign set out that was heard
        self._last_beat = 0  # the latest that the database is known to have had
        self._draining = False
        self._left = False
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping = asyncio.Lock()
        self._room_made = False  # and others wait for it; the next sweep sees to that
        self._not_run: set[str] = set()  # our own, and yet not run here, at the last sweep
        self._gone: set[str] = set()  # ended here since the sweep began

    # ── for those who ask for answers ────────────────────────────────────────────────────────────

    @property
    def incarnation(self) -> str | None:
        """Whose a new answer is to be; None: it may have none here now, so it is queued."""
        return self._incarnation if self._takes else None

    @property
    def running(self) -> int:
        """How many answers are being made here."""
        return len(self._runs)

    @property
    def answers(self) -> list[Answer]:
        """Those that are being made here."""
        return [run.answer for run in self._runs.values()]

    def start(self, answer: Answer) -> None:
        """Run an answer that is this incarnation's own; one that runs already runs once."""
        before = self._runs.get(answer.id)
        if before is not None and before.answer.fence >= answer.fence:
            return
        if before is not None:  # it was let go of, and came back before its run had noticed
            before.halt(Halt.LOST)
        run = Run(answer, self._means)
        if self._draining:
            run.halt(Halt.SHUTDOWN)
        self._runs[answer.id] = run
        self._own(self._live(run), f"answer {answer.id}")

    def wake(self, stopping: Stopping) -> None:
        """A stop is stored: have it heeded now, wherever the answer is made."""
        topic = words.to_incarnation(stopping.incarnation)
        if not self._stop(stopping.answer):
            words.say(self._bus, topic, Wake(stopping.answer))

    def ended(self, ended: Ended) -> None:
        """An answer was ended that nobody ran: tell this server's log, and see what follows."""
        self._gone.add(ended.answer)
        self._report(endings.line(ended))
        self._own(self._go_on_after(ended), f"what follows answer {ended.answer}")

    def look(self, tenant: str, conversation: str) -> None:
        """An answer there may wait to be claimed, or may be gone on with: do so."""
        self._own(self._look(tenant, conversation), f"a look at conversation {conversation}")

    # ── for the application ──────────────────────────────────────────────────────────────────────

    async def recover(self) -> int:
        """Begin to live, and take what the dead have left; how many answers that were.

        Who comes then finds them ended or going on, unless their log is out of reach.
        """
        await self._register()
        taken = 0
        while page := await self._orphans(limit=PAGE):
            taken += page
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await self._recovery.settled()
        await self._recovery.resume(self._incarnation, limit=self._room)
        return taken

    async def run(self) -> None:
        """Look after all that runs, and for what nobody runs, until cancelled."""
        options = self._options
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(options.heartbeat_s, self.beat))
            group.create_task(self._every(LOOK_S, self.tick))
            group.create_task(self._every(options.checkpoint_s, self.checkpoint))
            group.create_task(self._every(options.sweep_s, self.sweep))

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, wait for what runs, then let go of it; at last hold nothing.

        What has shown something of its step ends as `interrupted`; the rest is left to whoever
        comes next. Meanwhile `run` goes on.
        """
        self._draining = True
        await self._until_idle(grace_s)
        for run in self._runs.values():
            run.halt(Halt.SHUTDOWN)
        await self._until_idle(CUT_SHORT_S)
        with suppress(StorageError):  # what waits for its log is ended by whoever takes it
            await self.checkpoint()
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._left = True
        for listening in self._listening:
            listening.close()
        try:
            await self._store.ownership.leave(self._incarnation)
        except StorageError as error:  # then it is dead 9 s later
            _log.warning("it was not told that this process ends", why=str(error))

    # ── each in its own time; `run` calls them ───────────────────────────────────────────────────

    async def beat(self) -> None:
        """Tell that this process lives."""
        if self._left:
            return
        asked_at = self._means.clock()
        try:
            beat = await self._store.ownership.beat(self._incarnation)
        except NotFound:  # silent for a day, or restored; its fences tell what is still its own
            self._incarnation = self._means.ids(Kind.INCARNATION)
            await self._register()
            self._means.hub.doubt()
        else:
            self._beaten_at = asked_at
            last, self._last_beat = self._last_beat, beat.beat_at
            if beat.before < last:
                _log.warning("the database has gone back to a time before its last word of us")
                self._means.hub.doubt()

    async def tick(self) -> None:
        """Look at the deadlines, and whether we may still take ourselves for the owner."""
        alive, now = self._alive, self._means.clock()
        for run in list(self._runs.values()):
            if not alive:
                run.hold()
            run.tick(now)

    async def checkpoint(self) -> None:
        """Store what all have said since the last time."""
        await self._checkpoints.store([run for run in self._runs.values() if not run.leaving])

    async def sweep(self) -> None:
        """Look for answers that nobody makes, and could or should."""
        async with self._sweeping:
            self._room_made = False
            await self._store.tools.expire(limit=PAGE)
            if self._draining or not self._alive:
                return
            if self._room:
                await self._recovery.resume(self._incarnation, limit=self._room)
            await self._orphans(limit=PAGE)  # what the dead were saying needs none
            await self._find_unheard()

    async def _orphans(self, *, limit: int) -> int:
        return await self._recovery.orphans(
            self._incarnation, self._runs, limit=limit, room=self._room
        )

    async def _find_unheard(self) -> None:
        """Answers that became ours by a call whose reply did not come.

        Seen once, one may have been stored just now, and whoever asked for it is about to start it:
        unless it was another's before.
        """
        self._gone.clear()
        held = await self._store.ownership.held_by(self._incarnation)
        idle = [one for one in held if one.id not in self._runs and one.id not in self._gone]
        self._recovery.adopt(idle, waited=self._not_run)
        self._not_run = {answer.id for answer in idle} - self._not_run

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    @property
    def _alive(self) -> bool:
        beaten_at = self._beaten_at
        return beaten_at is not None and self._means.clock() - beaten_at < STALE_S

    @property
    def _room(self) -> int:
        """How many more answers may be made here, a page at most."""
        most = self._options.concurrent
        return max(0, min(PAGE, most - len(self._runs))) if most else PAGE

    @property
    def _room_awaited(self) -> bool:
        """Whether others may wait for room: a sweep under way counts on what there was before."""
        return bool(self._options.concurrent) and (not self._room or self._sweeping.locked())

    @property
    def _takes(self) -> bool:
        return not self._draining and self._alive and self._room > 0

    async def _register(self) -> None:
        asked_at = self._means.clock()
        begun = await self._store.ownership.register(self._incarnation, self._instance)
        self._beaten_at, self._last_beat = asked_at, begun.beat_at
        topic = words.to_incarnation(self._incarnation)
        self._listening.append(words.listen(self._bus, topic, self._hear))

    def _hear(self, word: AnyWord) -> None:
        if isinstance(word, Wake):
            self._stop(word.answer)

    def _stop(self, answer: str) -> bool:
        """Stop it, if it is made here."""
        run = self._runs.get(answer)
        if run is not None:
            run.halt(Halt.STOPPED)
        return run is not None

    async def _live(self, run: Run) -> None:
        answer = run.answer
        try:
            ended = await run.live()
        finally:
            awaited = self._room_awaited
            if self._runs.get(answer.id) is run:
                del self._runs[answer.id]
            self._gone.add(answer.id)
        if run.broken:
            self._recovery.doubt(answer.id, answer.fence)
        if ended is None:  # parked perhaps, and what it waits for may have come by now
            await self._look(answer.tenant, answer.conversation)
        else:
            self._report(run.line(ended))
            await self._go_on_after(ended)
        if awaited and not self._room_made:
            self._room_made = True
            await self.sweep()

    async def _go_on_after(self, ended: Ended) -> None:
        if ended.waiting or not ended.fresh:
            await self._look(ended.tenant, ended.conversation)

    async def _look(self, tenant: str, conversation: str) -> None:
        """See to the answer whose turn it is."""
        if not self._takes:
            return
        opening = await self._store.answers.opening(tenant, conversation)
        if not opening.unfinished:
            return
        first = opening.unfinished[0]
        if first.answer.state is RunState.QUEUED:
            await self._recovery.claim(first.answer, self._incarnation)
        elif first.answer.state is RunState.PARKED and _has_news(first):
            await self._recovery.take_up(first.answer, self._incarnation)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._means.sleep(seconds)
            try:
                await work()
            except StorageError as error:
                _log.warning("the store failed", at=work.__name__, why=str(error))
            except Exception as error:  # noqa: BLE001 - the next time it may go well
                _log.error("looking after answers failed", at=work.__name__, exc_info=error)

    async def _until_idle(self, seconds: float) -> None:
        until = self._means.clock() + seconds
        while self._tasks and (left := until - self._means.clock()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        # Whatever it was to see to, the sweeper finds.
        _log.warning("a task failed", task=task.get_name(), exc_info=error)


def _has_news(parked: Unfinished) -> bool:
    """Whether a call changed since its clients were told, or none of them waits any more."""
    told = {call.id: call.told for call in transcript.decode(parked.answer.transcript).asked}
    calls = [call for call in parked.tools if call.id in told]
    return not any(map(waits, calls)) or any(call.state is not told[call.id] for call in calls)
