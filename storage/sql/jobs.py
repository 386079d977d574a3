"""Work in the background: enqueued with its cause, leased, tried again, visible when it is dead.

A lease moves `run_at` forward instead of marking the job taken. So a crash needs no sweeper: what
is not finished comes due again, and the lease's number tells a late holder from the present one.
"""

from collections.abc import Sequence

from msgspec import structs

from protocol.text import mend
from storage.errors import Fenced, NotFound
from storage.ids import Ids, Kind
from storage.sql import rows
from storage.sql.database import Connection, Database, Row
from storage.work import Job, JobState, NewJob, Progress, Schedule

BACKOFF_MS = 1_000
LONGEST_BACKOFF_MS = 3_600_000
ERROR_CHARACTERS = 2_000
# Without a tenant, those of all.
OF_TENANT = "(CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant)"
LEASE_EXPIRED = "its holder let the lease expire"


async def enqueue(c: Connection, ids: Ids, new: Sequence[NewJob], *, at: int) -> tuple[str, ...]:
    """Put jobs in the queue of the unit that causes them; the ids of those that were not there."""
    made = []
    for job in new:
        row = await c.one(
            """
            INSERT INTO jobs (id, tenant, kind, payload, dedupe, state, run_at, attempts,
                max_attempts, lease, created_at)
            VALUES (:id, :tenant, :kind, :payload, :dedupe, 'open', :run_at, 0, :max_attempts, 0,
                :at)
            ON CONFLICT (tenant, kind, dedupe) WHERE dedupe IS NOT NULL AND state = 'open'
            DO NOTHING
            RETURNING id
            """,
            id=ids(Kind.JOB),
            tenant=job.tenant,
            kind=job.kind,
            payload=rows.text(job.payload),
            dedupe=job.dedupe,
            run_at=at + job.delay_ms,
            max_attempts=job.max_attempts,
            at=at,
        )
        if row is not None:
            made.append(row["id"])
    return tuple(made)


class SqlJobs:
    """See `storage.store.Jobs`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    async def enqueue(self, new: Sequence[NewJob]) -> tuple[str, ...]:
        async def work(c: Connection) -> tuple[str, ...]:
            return await enqueue(c, self._ids, new, at=await rows.now(c))

        return await self._db.write(work)

    async def lease(
        self,
        kinds: Sequence[str],
        holder: str,
        *,
        limit: int,
        lease_ms: int,
        tenant: str | None = None,
    ) -> list[Job]:
        skip = "FOR UPDATE SKIP LOCKED" if self._db.dialect == "postgresql" else ""

        async def work(c: Connection) -> list[Job]:
            at = await rows.now(c)
            await _bury(c, at)
            # In two steps: within one statement PostgreSQL may run the SELECT more than once.
            due = await c.all(
                f"""
                SELECT id FROM jobs
                WHERE state = 'open' AND run_at <= :at
                    AND kind IN {rows.among(c, "kinds")}
                    AND {OF_TENANT}
                ORDER BY run_at, id LIMIT :limit {skip}
                """,
                at=at,
                kinds=rows.ids(kinds),
                tenant=tenant,
                limit=limit,
            )
            leased = await c.all(
                f"""
                UPDATE jobs SET run_at = :until, holder = :holder, lease = lease + 1,
                    attempts = attempts + 1
                WHERE id IN {rows.among(c, "due")}
                RETURNING *
                """,
                until=at + lease_ms,
                holder=holder,
                due=rows.ids(row["id"] for row in due),
            )
            jobs = {row["id"]: _job(row) for row in leased}
            return [jobs[row["id"]] for row in due]

        return await self._db.write(work)

    async def renew(self, job: Job, *, lease_ms: int, progress: Progress | None = None) -> None:
        if progress is not None:
            progress = structs.replace(progress, text=mend(progress.text))

        async def work(c: Connection) -> None:
            at = await rows.now(c)
            await _lock(c, job)
            await c.run(
                """
                UPDATE jobs SET run_at = :until, progress = COALESCE(:progress, progress)
                WHERE id = :id
                """,
                id=job.id,
                until=at + lease_ms,
                progress=rows.optional_text(progress),
            )

        await self._db.write(work)

    async def done(self, job: Job) -> None:
        async def work(c: Connection) -> None:
            await _lock(c, job)
            await _close(c, job, JobState.DONE, None, at=await rows.now(c))

        await self._db.write(work)

    async def fail(self, job: Job, error: str, *, chance: float) -> JobState:
        # It may name a file, and a file's name may be no text; a refusal would hide the error.
        error = mend(error)[:ERROR_CHARACTERS]

        async def work(c: Connection) -> JobState:
            at = await rows.now(c)
            row = await _lock(c, job)
            if row["attempts"] >= row["max_attempts"]:
                await _close(c, job, JobState.DEAD, error, at=at)
                return JobState.DEAD
            await c.run(
                """
                UPDATE jobs SET run_at = :run_at, holder = NULL, lease = lease + 1,
                    last_error = :error
                WHERE id = :id
                """,
                id=job.id,
                run_at=at + backoff_ms(row["attempts"], chance),
                error=error,
            )
            return JobState.OPEN

        return await self._db.write(work)

    async def release(self, job: Job) -> None:
        async def work(c: Connection) -> None:
            await _lock(c, job)
            await c.run(
                """
                UPDATE jobs SET run_at = :at, holder = NULL, lease = lease + 1,
                    attempts = attempts - 1
                WHERE id = :id
                """,
                id=job.id,
                at=await rows.now(c),
            )

        await self._db.write(work)

    async def get(self, id: str, *, tenant: str | None = None) -> Job:
        async def work(c: Connection) -> Job:
            row = await c.one(
                f"SELECT * FROM jobs WHERE id = :id AND {OF_TENANT}", id=id, tenant=tenant
            )
            if row is None:
                raise NotFound("job", id)
            return _job(row)

        return await self._db.read(work)

    async def dead(
        self, *, tenant: str | None = None, after: str = "", limit: int = 100
    ) -> list[Job]:
        async def work(c: Connection) -> list[Job]:
            found = await c.all(
                f"""
                SELECT * FROM jobs
                WHERE state = 'dead' AND id > :after AND {OF_TENANT}
                ORDER BY id LIMIT :limit
                """,
                tenant=tenant,
                after=after,
                limit=limit,
            )
            return [_job(row) for row in found]

        return await self._db.read(work)

    async def retry(self, id: str, *, tenant: str | None = None) -> Job:
        async def work(c: Connection) -> Job:
            row = await c.one(
                f"""
                UPDATE jobs SET state = 'open', run_at = :at, attempts = 0, holder = NULL,
                    lease = lease + 1, finished_at = NULL
                WHERE id = :id AND state = 'dead' AND {OF_TENANT}
                RETURNING *
                """,
                id=id,
                tenant=tenant,
                at=await rows.now(c),
            )
            if row is None:
                raise NotFound("dead job", id)
            return _job(row)

        return await self._db.write(work)

    async def prune(self, *, older_than_ms: int) -> None:
        async def work(c: Connection) -> None:
            await c.run(
                "DELETE FROM jobs WHERE state = 'done' AND finished_at < :before",
                before=await rows.now(c) - older_than_ms,
            )

        await self._db.write(work)

    async def schedule(self, schedules: Sequence[Schedule]) -> None:
        async def work(c: Connection) -> None:
            at = await rows.now(c)
            await c.many(
                """
                INSERT INTO schedules (name, tenant, kind, payload, every_ms, next_at)
                VALUES (:name, :tenant, :kind, :payload, :every_ms, :next_at)
                ON CONFLICT (name) DO UPDATE SET tenant = :tenant, kind = :kind,
                    payload = :payload, every_ms = :every_ms
                """,
                [
                    {
                        "name": schedule.name,
                        "tenant": schedule.tenant,
                        "kind": schedule.kind,
                        "payload": rows.text(schedule.payload),
                        "every_ms": schedule.every_ms,
                        "next_at": at + schedule.every_ms,
                    }
                    for schedule in schedules
                ],
            )

        await self._db.write(work)

    async def tick(self) -> tuple[str, ...]:
        async def work(c: Connection) -> tuple[str, ...]:
            at = await rows.now(c)
            due = await c.all(
                "SELECT * FROM schedules WHERE next_at <= :at ORDER BY next_at, name", at=at
            )
            won = [row for row in due if await _advance(c, row, at)]
            return await enqueue(c, self._ids, [_scheduled(row) for row in won], at=at)

        return await self._db.write(work)


def backoff_ms(attempts: int, chance: float) -> int:
    """The wait after so many attempts; `chance` in [0, 1) spreads it over the upper half."""
    span = min(LONGEST_BACKOFF_MS, BACKOFF_MS * 2 ** min(attempts - 1, 32))
    return int(span * (1 + chance) / 2)


async def _bury(c: Connection, at: int) -> None:
    """Whoever ran these for the last time died of it, or with it."""
    await c.run(
        """
        UPDATE jobs SET state = 'dead', finished_at = :at, holder = NULL, lease = lease + 1,
            last_error = COALESCE(last_error, :error)
        WHERE state = 'open' AND run_at <= :at AND attempts >= max_attempts
        """,
        at=at,
        error=LEASE_EXPIRED,
    )


async def _lock(c: Connection, job: Job) -> Row:
    """The job if this lease of it still stands."""
    row = await c.one(
        f"""
        SELECT attempts, max_attempts FROM jobs
        WHERE id = :id AND lease = :lease AND state = 'open' {c.for_update}
        """,
        id=job.id,
        lease=job.lease,
    )
    if row is None:
        raise Fenced(f"job {job.id!r}", job.lease)
    return row


async def _close(c: Connection, job: Job, state: JobState, error: str | None, *, at: int) -> None:
    await c.run(
        """
        UPDATE jobs SET state = :state, finished_at = :at, holder = NULL,
            last_error = COALESCE(:error, last_error)
        WHERE id = :id
        """,
        id=job.id,
        state=state,
        error=error,
        at=at,
    )


async def _advance(c: Connection, schedule: Row, at: int) -> bool:
    """Whether this unit is the one to run it. Runs missed meanwhile are one run."""
    late: int = (at - schedule["next_at"]) % schedule["every_ms"]
    won = await c.one(
        """
        UPDATE schedules SET next_at = :next WHERE name = :name AND next_at = :seen
        RETURNING name
        """,
        name=schedule["name"],
        seen=schedule["next_at"],
        next=at - late + schedule["every_ms"],
    )
    return won is not None


def _scheduled(schedule: Row) -> NewJob:
    return NewJob(
        kind=schedule["kind"],
        payload=rows.raw(schedule["payload"]),
        tenant=schedule["tenant"],
        dedupe=f"schedule:{schedule['name']}",
    )


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        kind=row["kind"],
        payload=rows.raw(row["payload"]),
        dedupe=row["dedupe"],
        state=JobState(row["state"]),
        run_at=row["run_at"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        holder=row["holder"],
        lease=row["lease"],
        last_error=row["last_error"],
        progress=rows.parsed(row["progress"], Progress),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
