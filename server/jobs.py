"""The worker: takes jobs that are due, runs their handlers, and keeps their leases meanwhile.

A job runs at least once. Its handler may be cut short at any await, by a crash, a drain or a lost
lease, and run again elsewhere, so handlers do everything twice as well as once.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from storage.errors import Fenced, StorageError
from storage.store import Jobs
from storage.work import Job, Progress


class JobFailed(Exception):
    """A handler gives up for now; the sentence is kept with the job, and a person may read it."""


class Options(Struct, frozen=True, kw_only=True):
    """How a worker works; nothing may be 0."""

    concurrency: Annotated[int, Meta(ge=1, le=1000, description="Jobs that run at once.")] = 4
    lease_ms: Annotated[
        int,
        Meta(
            ge=1000,
            le=3_600_000,
            description="Milliseconds that a job waits for a worker that says nothing.",
        ),
    ] = 30_000
    cancel_s: Annotated[
        float,
        Meta(gt=0, le=600, description="Seconds that a cancelled job has to clean up."),
    ] = 5.0
    poll_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds between two looks for jobs that nobody hinted at.",
        ),
    ] = 1.0

    @property
    def renew_s(self) -> float:
        """Two renewals may fail before the lease is lost."""
        return self.lease_ms / 3000


class Work:
    """A job in a handler's hands."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.progress: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """How far it is; stored when the lease is next renewed."""
        self.progress = progress


Handler: TypeAlias = Callable[[Work], Awaitable[None]]
# For logs and metrics: the job that failed, or None where it was a look at the queue.
Report: TypeAlias = Callable[[Job | None, BaseException], None]


class Worker:
    """Runs the jobs of those kinds that have a handler, until it is stopped."""

    def __init__(
        self,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        holder: str,
        report: Report,
        *,
        options: Options | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._jobs = jobs
        self._handlers = dict(handlers)
        self._holder = holder
        self._report = report
        self._options = options or Options()
        self._sleep = sleep
        self._clock = clock
        self._chance = chance
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._next_tick = clock()
        self._stopping = False
        self._grace_s = 0.0

    def hint(self) -> None:
        """Something was enqueued: look now instead of at the next poll."""
        self._wake.set()

    def stop(self, *, grace_s: float) -> None:
        """Take nothing more. `run` returns once what runs has ended, or the grace has."""
        self._grace_s = grace_s
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Work until stopped; what cannot finish in the grace is given back, untried."""
        try:
            while not self._stopping:
                await self._look()
                # Spread, or the instances would come to the database all at once.
                wait_s = self._options.poll_s * (0.5 + self._chance())
                await self._before(self._wake.wait(), wait_s)
                self._wake.clear()
            if self._running:
                await self._before(asyncio.wait(self._running), self._grace_s)
        finally:
            await self._cut_short()

    async def _cut_short(self) -> None:
        """Cancel what still runs, and do not wait for ever for a handler that will not hear."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await self._before(asyncio.wait(running), self._options.cancel_s)
        for task in running:
            if not task.done():
                self._report(None, JobFailed(f"{task.get_name()} ignores that it was cancelled"))

    async def _look(self) -> None:
        """Start what is due and there is room for."""
        # By the clock, not by the pause: hints may keep coming before any pause is over.
        if self._clock() >= self._next_tick:
            try:
                await self._jobs.tick()
            except StorageError as error:  # schedules that fail must not keep the queue waiting
                self._report(None, error)
            self._next_tick = self._clock() + self._options.poll_s
        try:
            room = self._options.concurrency - len(self._running)
            leased = []
            if room:
                leased = await self._jobs.lease(
                    list(self._handlers),
                    self._holder,
                    limit=room,
                    lease_ms=self._options.lease_ms,
                )
        except StorageError as error:
            self._report(None, error)
            return
        for job in leased:
            task = asyncio.create_task(self._work(job), name=f"job {job.id} of kind {job.kind}")
            self._running.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(None, error)

    async def _work(self, job: Job) -> None:
        work = Work(job)
        handler = asyncio.create_task(self._handle(work))
        try:
            if not await self._attend(work, handler):
                self._report(job, JobFailed("the lease was lost while it ran"))
                return
            await self._settle(job, _outcome(handler))
        except asyncio.CancelledError:
            await _cancelled(handler)
            with suppress(StorageError):  # then it comes due when the lease ends
                await self._jobs.release(job)
            raise
        finally:
            await _cancelled(handler)

    async def _handle(self, work: Work) -> None:
        await self._handlers[work.job.kind](work)

    async def _attend(self, work: Work, handler: asyncio.Task[None]) -> bool:
        """Renew the lease until the handler ended; False if the lease was lost before that."""
        lease_s = self._options.lease_ms / 1000
        held_until = self._clock() + lease_s
        while not await self._before(asyncio.wait({handler}), self._options.renew_s):
            asked_at = self._clock()
            try:
                await self._jobs.renew(
                    work.job, lease_ms=self._options.lease_ms, progress=work.progress
                )
            except Fenced:
                return False
            except StorageError as error:
                self._report(work.job, error)
                if self._clock() >= held_until:
                    return False
            else:
                held_until = asked_at + lease_s
        return True

    async def _settle(self, job: Job, failure: BaseException | None) -> None:
        """Tell the queue how it went. Left untold, the job would run again."""
        if failure is not None:
            self._report(job, failure)
        until = self._clock() + self._options.lease_ms / 1000
        while True:
            try:
                if failure is None:
                    await self._jobs.done(job)
                else:
                    await self._jobs.fail(job, _sentence(failure), chance=self._chance())
            except Fenced as lost:
                self._report(job, lost)
            except StorageError as error:
                self._report(job, error)
                if self._clock() < until:
                    await self._sleep(self._options.poll_s)
                    continue
            return

    async def _before(self, event: Awaitable[object], seconds: float) -> bool:
        """Whether it came about before so much time went by."""
        awaited = asyncio.ensure_future(event)
        timer = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({awaited, timer}, return_when=asyncio.FIRST_COMPLETED)
            return awaited.done()
        finally:
            awaited.cancel()
            timer.cancel()
            await asyncio.gather(awaited, timer, return_exceptions=True)


async def _cancelled(handler: asyncio.Task[None]) -> None:
    handler.cancel()
    await asyncio.gather(handler, return_exceptions=True)


def _outcome(handler: asyncio.Task[None]) -> BaseException | None:
    """The handler's error, whatever it is: this is the root of its task."""
    if handler.cancelled():
        return JobFailed("it was cancelled from within")
    return handler.exception()


def _sentence(error: BaseException) -> str:
    """What a person may read of it: other errors' words may hold anything, a user's text too."""
    if isinstance(error, JobFailed | StorageError):
        return str(error)
    return f"an unexpected error ({type(error).__name__}); the server's log has it"
