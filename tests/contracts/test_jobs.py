"""Background work: enqueued once, leased by one, tried again, never lost and never done by two."""

import asyncio

import pytest
from msgspec import Raw, structs

from storage.errors import Conflict, Fenced, NotFound
from storage.sql.jobs import BACKOFF_MS, ERROR_CHARACTERS, LONGEST_BACKOFF_MS, backoff_ms
from storage.store import Jobs
from storage.work import Job, JobState, NewJob, Progress, Schedule
from tests.support.rows import World

LEASE_MS = 30_000


@pytest.fixture
def jobs(world: World) -> Jobs:
    return world.store.internal.jobs


def kind(world: World) -> str:
    """No other test's."""
    return f"k-{world.tenant}"


async def enqueue(world: World, **fields: object) -> str:
    (id,) = await world.store.internal.jobs.enqueue(
        [structs.replace(NewJob(kind=kind(world)), **fields)]
    )
    return id


async def lease(world: World, limit: int = 100, **fields: str) -> list[Job]:
    return await world.store.internal.jobs.lease(
        [kind(world)], "me", limit=limit, lease_ms=LEASE_MS, **fields
    )


async def test_due_jobs_are_leased_longest_due_first(world: World, jobs: Jobs) -> None:
    """Not before their time, not those of another kind, and each once."""
    late = await enqueue(world, delay_ms=500, payload=Raw(b'{"n":1}'))
    early = [await enqueue(world) for _ in range(2)]
    await enqueue(world, delay_ms=5000)
    await enqueue(world, kind="other")
    world.clock.advance(1000)
    first = await lease(world, limit=2)
    assert [job.id for job in first] == early
    (second,) = await lease(world)
    assert (second.id, second.payload) == (late, Raw(b'{"n":1}'))
    assert (second.attempts, second.holder, second.state) == (1, "me", JobState.OPEN)
    assert await lease(world) == []


async def test_many_workers_share_jobs_without_taking_one_twice(world: World, jobs: Jobs) -> None:
    """Ten lease at once until nothing is left."""
    wanted = await jobs.enqueue([NewJob(kind=kind(world)) for _ in range(60)])

    async def worker() -> list[str]:
        taken = []
        while leased := await lease(world, limit=3):
            taken += [job.id for job in leased]
        return taken

    taken = await asyncio.gather(*(worker() for _ in range(10)))
    assert sorted(id for ids in taken for id in ids) == sorted(wanted)


async def test_a_crashed_workers_job_comes_due_again(world: World, jobs: Jobs) -> None:
    """The late worker learns that its work does not count, whatever it says."""
    id = await enqueue(world)
    (lost,) = await lease(world)
    world.clock.advance(LEASE_MS)
    (again,) = await lease(world)
    assert (again.id, again.attempts, again.lease) == (id, 2, lost.lease + 1)
    for word in (
        jobs.done(lost),
        jobs.fail(lost, "x", chance=0),
        jobs.renew(lost, lease_ms=LEASE_MS),
        jobs.release(lost),
    ):
        with pytest.raises(Fenced):
            await word
    await jobs.done(again)
    assert (await jobs.get(id)).state is JobState.DONE
    with pytest.raises(Fenced):
        await jobs.done(again)


async def test_a_renewed_lease_stands_and_shows_progress(world: World, jobs: Jobs) -> None:
    """A renewal without news keeps the last ones."""
    await enqueue(world)
    (job,) = await lease(world)
    for progress in (Progress(done=3, total=9, text="reading"), None):
        world.clock.advance(LEASE_MS - 1)
        await jobs.renew(job, lease_ms=LEASE_MS, progress=progress)
    world.clock.advance(LEASE_MS - 1)
    assert await lease(world) == []
    assert (await jobs.get(job.id)).progress == Progress(done=3, total=9, text="reading")
    await jobs.done(job)


async def test_a_failed_job_is_tried_later_and_later_until_it_is_dead(
    world: World, jobs: Jobs
) -> None:
    """Then it waits for a person, with its last error, bounded."""
    id = await enqueue(world, max_attempts=3)
    for attempt in (1, 2):
        (job,) = await lease(world)
        assert await jobs.fail(job, f"no {attempt}", chance=0.5) is JobState.OPEN
        wait = backoff_ms(attempt, 0.5)
        world.clock.advance(wait - 1)
        assert await lease(world) == []
        world.clock.advance(1)
    (job,) = await lease(world)
    assert await jobs.fail(job, "x" * 10_000, chance=0.5) is JobState.DEAD
    (dead,) = [one for one in await jobs.dead() if one.id == id]
    assert (dead.last_error, dead.finished_at) == ("x" * ERROR_CHARACTERS, world.clock.now)
    world.clock.advance(10 * LEASE_MS)
    assert await lease(world) == []


async def test_words_that_are_no_text_are_kept_as_well_as_they_can_be(
    world: World, jobs: Jobs
) -> None:
    """A file's name may hold anything; the job must not run again and again because of it."""
    id = await enqueue(world, max_attempts=1)
    (job,) = await lease(world)
    words = "a\0b\ud800c"
    await jobs.renew(job, lease_ms=LEASE_MS, progress=Progress(done=1, text=words))
    await jobs.fail(job, words, chance=0)
    dead = await jobs.get(id)
    assert dead.progress is not None
    assert (dead.last_error, dead.progress.text) == ("a\ufffdb\ufffdc",) * 2


async def test_a_job_that_kills_its_worker_dies_of_it(world: World, jobs: Jobs) -> None:
    """Nobody is left to say that it failed."""
    id = await enqueue(world, max_attempts=2)
    for _ in range(2):
        assert len(await lease(world)) == 1
        world.clock.advance(LEASE_MS)
    assert await lease(world) == []
    dead = await jobs.get(id)
    assert (dead.state, dead.last_error is None) == (JobState.DEAD, False)


async def test_another_tenants_job_is_not_there(world: World, jobs: Jobs) -> None:
    """Neither to be seen nor to be run again."""
    id = await enqueue(world, max_attempts=1, tenant="t")
    (job,) = await lease(world)
    await jobs.fail(job, "no", chance=0)
    assert (await jobs.get(id, tenant="t")).state is JobState.DEAD
    for method in (jobs.get, jobs.retry):
        with pytest.raises(NotFound):
            await method(id, tenant="stranger")
    assert (await jobs.retry(id, tenant="t")).id == id


async def test_a_dead_job_can_be_given_all_its_attempts_again(world: World, jobs: Jobs) -> None:
    """Unless an open one stands for it by now."""
    id = await enqueue(world, max_attempts=1, dedupe="d")
    (job,) = await lease(world)
    await jobs.fail(job, "no", chance=0)
    replacement = await enqueue(world, dedupe="d")
    with pytest.raises(Conflict):
        await jobs.retry(id)
    (open_one,) = await lease(world)
    assert open_one.id == replacement
    await jobs.done(open_one)
    assert (await jobs.retry(id)).attempts == 0
    (job,) = await lease(world)
    assert (job.id, job.last_error) == (id, "no")
    with pytest.raises(NotFound):
        await jobs.retry(id)


async def test_an_open_job_stands_for_all_of_its_dedupe(world: World, jobs: Jobs) -> None:
    """Of its tenant and kind, while it waits or runs; racing a thousand times makes one."""
    new = NewJob(kind=kind(world), tenant=world.tenant, dedupe="d")
    made = await asyncio.gather(*(jobs.enqueue([new]) for _ in range(1000)))
    assert sum(len(ids) for ids in made) == 1
    (job,) = await lease(world)
    assert await jobs.enqueue([new]) == ()
    assert len(await jobs.enqueue([structs.replace(new, tenant="other")])) == 1
    await jobs.done(job)
    assert len(await jobs.enqueue([new])) == 1


async def test_a_released_job_is_due_at_once_and_lost_no_attempt(world: World, jobs: Jobs) -> None:
    """A worker that drains gives back what it had no time for."""
    await enqueue(world)
    (job,) = await lease(world)
    await jobs.release(job)
    (again,) = await lease(world)
    assert (again.id, again.attempts) == (job.id, 1)


async def test_a_worker_may_serve_one_tenant(world: World, jobs: Jobs) -> None:
    """Leases and dead letters alike."""
    ours = await enqueue(world, tenant=world.tenant, max_attempts=1)
    await enqueue(world, tenant="elsewhere")
    (job,) = await lease(world, tenant=world.tenant)
    assert job.id == ours
    await jobs.fail(job, "no", chance=0)
    assert [one.id for one in await jobs.dead(tenant=world.tenant)] == [ours]
    assert await jobs.dead(tenant=world.tenant, after=ours) == []


async def test_what_is_done_is_forgotten_after_a_while_and_what_is_dead_is_not(
    world: World, jobs: Jobs
) -> None:
    """Dead letters wait for a person, however long."""
    done, dead = await enqueue(world), await enqueue(world, max_attempts=1)
    by_id = {job.id: job for job in await lease(world)}
    await jobs.done(by_id[done])
    await jobs.fail(by_id[dead], "no", chance=0)
    await jobs.prune(older_than_ms=0)
    assert (await jobs.get(done)).state is JobState.DONE
    world.clock.advance(1)
    await jobs.prune(older_than_ms=0)
    with pytest.raises(NotFound):
        await jobs.get(done)
    assert (await jobs.get(dead)).state is JobState.DEAD


async def test_a_schedule_runs_once_over_ten_that_tick(world: World, jobs: Jobs) -> None:
    """Each time; what was missed is one run, and the rhythm stays."""
    await jobs.schedule([Schedule(name=world.tenant, kind=kind(world), every_ms=10_000)])
    runs = 0
    for wait in (9_999, 1, 10_000, 35_000, 4_999, 1):
        world.clock.advance(wait)
        await asyncio.gather(*(jobs.tick() for _ in range(10)))
        due = await lease(world)
        for job in due:
            await jobs.done(job)
        runs += len(due)
    assert runs == 4


async def test_a_schedule_does_not_pile_up_behind_a_run_that_takes_long(
    world: World, jobs: Jobs
) -> None:
    """The open job stands for the next."""
    await jobs.schedule([Schedule(name=world.tenant, kind=kind(world), every_ms=10_000)])
    for _ in range(3):
        world.clock.advance(10_000)
        await jobs.tick()
    assert len(await lease(world)) == 1


async def test_a_schedule_made_known_again_keeps_its_time(world: World, jobs: Jobs) -> None:
    """A restart does not put it off; what it does may change."""
    schedule = Schedule(name=world.tenant, kind="old", every_ms=10_000)
    await jobs.schedule([schedule])
    world.clock.advance(9_000)
    await jobs.schedule([structs.replace(schedule, kind=kind(world), payload=Raw(b"[1]"))])
    world.clock.advance(1_000)
    await jobs.tick()
    (job,) = await lease(world)
    assert job.payload == Raw(b"[1]")


def test_the_wait_doubles_is_spread_and_has_an_end() -> None:
    """Chance moves it within the upper half of the span."""
    assert [backoff_ms(n, 0.0) for n in (1, 2, 3)] == [BACKOFF_MS // 2, BACKOFF_MS, 2 * BACKOFF_MS]
    assert BACKOFF_MS // 2 < backoff_ms(1, 0.99) < BACKOFF_MS
    assert backoff_ms(1000, 0.5) == LONGEST_BACKOFF_MS * 3 // 4
