"""The worker over a real queue, with a clock and a sleep that the tests move."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from server.jobs import Handler, JobFailed, Options, Work, Worker
from storage.errors import Fenced, Unavailable
from storage.sql import open_database
from storage.sql.migrate import migrate
from storage.store import Jobs
from storage.work import Job, JobState, NewJob, Progress, Schedule
from tests.support.rows import World

OPTIONS = Options(concurrency=2, lease_ms=30_000, poll_s=1.0)


class Sleeper:
    """Sleeps end when the test lets time pass, which the database's clock follows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sleeping: list[tuple[int, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def clock(self) -> float:
        return self._world.clock.now / 1000

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        self._sleeping.append((self._world.clock.now + round(seconds * 1000), woken))
        self._slept.set()
        await woken

    async def pass_time(self, seconds: float) -> None:
        """Let so much time go by; first wait until those sleep who are to be woken."""
        self._world.clock.advance(round(seconds * 1000))
        for until, woken in self._sleeping:
            if until <= self._world.clock.now and not woken.done():
                woken.set_result(None)
        self._sleeping = [(until, woken) for until, woken in self._sleeping if not woken.done()]

    async def asleep(self, seconds: float) -> None:
        """Wait until somebody sleeps for that long from now."""
        wanted = self._world.clock.now + round(seconds * 1000)
        while all(until != wanted or woken.done() for until, woken in self._sleeping):
            self._slept.clear()
            await self._slept.wait()


class Queue:
    """The real queue, which can be away for a while."""

    def __init__(self, real: Jobs, stir: asyncio.Event) -> None:
        self._real = real
        self._stir = stir
        self.away: dict[str, int] = {}  # how many calls of each method will fail

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def call(*args: object, **options: object) -> object:
            try:
                if self.away.get(name, 0):
                    self.away[name] -= 1
                    raise Unavailable("gone")
                return await getattr(self._real, name)(*args, **options)
            finally:
                self._stir.set()

        return call


class Office:
    """A worker at work, and what it reported."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs = world.store.internal.jobs
        self.stir = asyncio.Event()  # set by whatever happens
        self.queue = Queue(self.jobs, self.stir)
        self.sleeper = Sleeper(world)
        self.reports: list[tuple[str | None, BaseException]] = []

    def worker(self, **handlers: Handler) -> Worker:
        return Worker(
            cast("Jobs", self.queue),
            handlers,
            "me",
            self._report,
            options=OPTIONS,
            sleep=self.sleeper.sleep,
            clock=self.sleeper.clock,
            chance=lambda: 0.5,
        )

    @asynccontextmanager
    async def working(self, **handlers: Handler) -> AsyncIterator[Worker]:
        """A worker that is stopped without grace at the end."""
        worker = self.worker(**handlers)
        task = asyncio.create_task(worker.run())
        yield worker
        worker.stop(grace_s=0.0)
        await task

    async def enqueue(self, kind: str, **fields: object) -> str:
        (id,) = await self.jobs.enqueue([structs.replace(NewJob(kind=kind), **fields)])
        return id

    async def closed(self, id: str, state: JobState) -> Job:
        """The job, once it is in that state."""
        return await self.until(id, lambda job: job.state is state)

    async def until(self, id: str, holds: Callable[[Job], bool]) -> Job:
        """The job, once this holds of it."""
        while True:
            self.stir.clear()
            job = await self.jobs.get(id)
            if holds(job):
                return job
            await self.stir.wait()

    async def reported(self, count: int, kind: type[BaseException]) -> None:
        """Wait until so many errors of a kind were reported."""
        while sum(isinstance(error, kind) for _, error in self.reports) < count:
            self.stir.clear()
            await self.stir.wait()

    def _report(self, job: Job | None, error: BaseException) -> None:
        self.reports.append((None if job is None else job.kind, error))
        self.stir.set()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    yield Office(World(db, "tenant"))
    await db.close()


async def nothing(_: Work) -> None:
    """A handler that is done at once."""


async def test_a_job_is_run_by_the_handler_of_its_kind_and_closed(office: Office) -> None:
    """Jobs of other kinds are left to others."""
    seen: list[str] = []

    async def handle(work: Work) -> None:
        seen.append(work.job.id)

    id, other = await office.enqueue("mine"), await office.enqueue("other")
    async with office.working(mine=handle):
        await office.closed(id, JobState.DONE)
    assert (seen, (await office.jobs.get(other)).attempts) == ([id], 0)


async def test_a_hint_is_quicker_than_the_poll(office: Office) -> None:
    """Without one the worker looks again after its pause."""
    async with office.working(k=nothing) as worker:
        await office.sleeper.asleep(1.0)
        hinted = await office.enqueue("k")
        worker.hint()
        await office.closed(hinted, JobState.DONE)
        await office.sleeper.asleep(1.0)
        unhinted = await office.enqueue("k")
        await office.sleeper.pass_time(1.0)
        await office.closed(unhinted, JobState.DONE)


async def test_no_more_jobs_run_at_once_than_allowed(office: Office) -> None:
    """The next begins when one ends."""
    running, most, full, gate = 0, 0, asyncio.Event(), asyncio.Semaphore(0)

    async def handle(_: Work) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == OPTIONS.concurrency:
            full.set()
        await gate.acquire()
        running -= 1

    ids = [await office.enqueue("k") for _ in range(5)]
    async with office.working(k=handle):
        await full.wait()
        for id in ids:
            gate.release()
            await office.closed(id, JobState.DONE)
    assert most == OPTIONS.concurrency


async def test_a_long_job_keeps_its_lease_and_tells_how_far_it_is(office: Office) -> None:
    """Nobody else gets it, however long it takes."""
    gate = asyncio.Event()

    async def handle(work: Work) -> None:
        work.tell(Progress(done=1, total=2, text="half"))
        await gate.wait()

    id = await office.enqueue("k")
    async with office.working(k=handle):
        for _ in range(12):
            await office.sleeper.asleep(OPTIONS.renew_s)
            await office.sleeper.pass_time(OPTIONS.renew_s)
        await office.sleeper.asleep(OPTIONS.renew_s)
        assert await office.jobs.lease(["k"], "thief", limit=1, lease_ms=1) == []
        assert (await office.jobs.get(id)).progress == Progress(done=1, total=2, text="half")
        gate.set()
        await office.closed(id, JobState.DONE)


async def test_a_handler_whose_lease_was_lost_is_cancelled(office: Office) -> None:
    """Another runs the job by now, and this one's end would not count."""
    ended = asyncio.Event()

    async def handle(_: Work) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await office.enqueue("k")
    async with office.working(k=handle):
        await office.sleeper.asleep(OPTIONS.renew_s)
        office.world.clock.advance(OPTIONS.lease_ms)
        (stolen,) = await office.jobs.lease(["k"], "thief", limit=1, lease_ms=60_000)
        await office.sleeper.pass_time(0)
        await ended.wait()
    assert (await office.jobs.get(stolen.id)).holder == "thief"
    assert [str(error) for _, error in office.reports] == ["the lease was lost while it ran"]


async def test_a_failed_job_keeps_a_sentence_that_is_safe_to_read(office: Office) -> None:
    """A handler's own words, but nothing of an error that may hold a user's text."""

    async def refuse(_: Work) -> None:
        raise JobFailed("the document is encrypted")

    async def stumble(_: Work) -> None:
        raise ValueError("the user's secret")

    refused = await office.enqueue("refuse", max_attempts=1)
    stumbled = await office.enqueue("stumble", max_attempts=1)
    async with office.working(refuse=refuse, stumble=stumble):
        dead = [await office.closed(id, JobState.DEAD) for id in (refused, stumbled)]
    assert [job.last_error for job in dead] == [
        "the document is encrypted",
        "an unexpected error (ValueError); the server's log has it",
    ]
    assert {kind for kind, _ in office.reports} == {"refuse", "stumble"}


async def test_a_job_that_failed_is_tried_again_after_its_backoff(office: Office) -> None:
    """By whoever looks then."""
    attempts = 0

    async def handle(_: Work) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise JobFailed("not yet")

    id = await office.enqueue("k")
    async with office.working(k=handle):
        await office.until(id, lambda job: job.last_error is not None)
        await office.sleeper.asleep(1.0)
        await office.sleeper.pass_time(1.0)
        await office.closed(id, JobState.DONE)
    assert attempts == 2


async def test_stopping_lets_a_job_finish_within_the_grace(office: Office) -> None:
    """And takes no other."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def handle(_: Work) -> None:
        begun.set()
        await gate.wait()

    first = await office.enqueue("k")
    worker = office.worker(k=handle)
    task = asyncio.create_task(worker.run())
    await begun.wait()
    second = await office.enqueue("k")
    worker.stop(grace_s=7.0)
    await office.sleeper.asleep(7.0)
    gate.set()
    await task
    assert (await office.jobs.get(first)).state is JobState.DONE
    assert (await office.jobs.get(second)).attempts == 0


async def test_what_the_grace_is_too_short_for_is_given_back_untried(office: Office) -> None:
    """Another worker has it at once, with all its attempts."""
    begun = asyncio.Event()

    async def handle(_: Work) -> None:
        begun.set()
        await asyncio.Event().wait()

    id = await office.enqueue("k")
    async with office.working(k=handle):
        await begun.wait()
    (again,) = await office.jobs.lease(["k"], "other", limit=1, lease_ms=1000)
    assert (again.id, again.attempts) == (id, 1)


async def test_a_handler_that_ignores_its_cancellation_does_not_hold_the_drain(
    office: Office,
) -> None:
    """It is named, and the process can end."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def stubborn(_: Work) -> None:
        begun.set()
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    id = await office.enqueue("k")
    worker = office.worker(k=stubborn)
    task = asyncio.create_task(worker.run())
    await begun.wait()
    worker.stop(grace_s=0.0)
    await office.sleeper.asleep(5.0)
    await office.sleeper.pass_time(5.0)
    await task
    assert f"job {id} of kind k ignores" in str(office.reports[-1][1])
    release.set()


async def test_schedules_that_cannot_be_looked_at_do_not_stop_the_queue(office: Office) -> None:
    """Each has its own look at the database."""
    office.queue.away["tick"] = 1000
    ran = asyncio.Event()

    async def handle(_: Work) -> None:
        ran.set()

    await office.enqueue("k")
    async with office.working(k=handle):
        await ran.wait()


async def test_a_cancelled_worker_gives_back_what_it_has(office: Office) -> None:
    """As if its grace were over."""
    begun = asyncio.Event()

    async def handle(_: Work) -> None:
        begun.set()
        await asyncio.Event().wait()

    await office.enqueue("k")
    worker = office.worker(k=handle)
    task = asyncio.create_task(worker.run())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await office.jobs.lease(["k"], "other", limit=1, lease_ms=1000)) == 1


async def test_schedules_are_looked_at_whenever_a_poll_is_over(office: Office) -> None:
    """Also where hints leave the worker no pause."""
    ran: asyncio.Queue[str] = asyncio.Queue()

    async def handle(work: Work) -> None:
        ran.put_nowait(work.job.id)

    await office.jobs.schedule([Schedule(name="nightly", kind="k", every_ms=2000)])
    async with office.working(k=handle) as worker:
        for _ in range(3):
            await office.sleeper.asleep(1.0)
            office.world.clock.advance(2000)
            worker.hint()
            await office.closed(await ran.get(), JobState.DONE)


async def test_a_queue_that_is_away_is_waited_for(office: Office) -> None:
    """Looking, renewing and closing go on when it is back; nothing runs twice."""
    runs, gate = 0, asyncio.Event()

    async def handle(_: Work) -> None:
        nonlocal runs
        runs += 1
        await gate.wait()

    id = await office.enqueue("k")
    office.queue.away = {"lease": 1, "renew": 1, "done": 1}
    async with office.working(k=handle):
        await office.sleeper.asleep(1.0)
        await office.sleeper.pass_time(1.0)
        for _ in range(2):
            await office.sleeper.asleep(OPTIONS.renew_s)
            await office.sleeper.pass_time(OPTIONS.renew_s)
        await office.sleeper.asleep(OPTIONS.renew_s)
        gate.set()
        await office.reported(3, Unavailable)
        await office.sleeper.asleep(1.0)
        await office.sleeper.pass_time(1.0)
        await office.closed(id, JobState.DONE)
    assert runs == 1
    assert not any(isinstance(error, Fenced) for _, error in office.reports)
