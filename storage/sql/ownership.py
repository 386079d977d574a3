"""Who lives, and whose answers may be taken over.

Heartbeats use the database's clock alone: a machine's own can neither kill nor save it.
"""

from msgspec import structs

from storage.errors import NotFound
from storage.records import Answer, Heartbeat
from storage.sql import answers, history, rows
from storage.sql.database import Connection, Database, Row, Value

# Beaten every 3 s; so old, a heartbeat missed two beats and had the time of a third.
STALE_MS = 9_000
# The taker must itself have been seen for longer than it calls others dead after: one that was
# frozen together with the owner, or lost the database as the owner did, may not judge.
UNBROKEN_MS = 10_000
# A queued answer without an owner this long is nobody's: whoever committed it claims it at once.
UNCLAIMED_MS = 5_000

# So long after its last beat an incarnation is forgotten; a process frozen that long begins anew.
FORGOTTEN_MS = 24 * 3_600_000

# A heartbeat that lies ahead was beaten before the clock was set back; the living beat again soon.
ALIVE = "beat_at BETWEEN :stale AND :ahead"

DEAD_OWNER = f"""
NOT EXISTS (SELECT 1 FROM incarnations i WHERE i.id = a.incarnation AND {ALIVE})
"""

MAY_TAKE = f"""
AND NOT EXISTS (SELECT 1 FROM incarnations WHERE id = :owner AND {ALIVE})
AND EXISTS (
    SELECT 1 FROM incarnations WHERE id = :taker AND {ALIVE} AND unbroken_since <= :unbroken)
"""


class SqlOwnership:
    """See `storage.store.Ownership`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def register(self, incarnation: str, instance: str) -> Heartbeat:
        async def work(c: Connection) -> Heartbeat:
            at = await rows.now(c)
            await c.run("DELETE FROM incarnations WHERE beat_at < :old", old=at - FORGOTTEN_MS)
            row = await c.one(
                """
                INSERT INTO incarnations (id, instance, started_at, beat_at, unbroken_since)
                VALUES (:id, :instance, :at, :at, :at)
                RETURNING *
                """,
                id=incarnation,
                instance=instance,
                at=at,
            )
            return _heartbeat(row, incarnation)

        return await self._db.write(work)

    async def beat(self, incarnation: str) -> Heartbeat:
        async def work(c: Connection) -> Heartbeat:
            before = await c.one(
                f"SELECT beat_at FROM incarnations WHERE id = :id {c.for_update}", id=incarnation
            )
            row = await c.one(
                """
                UPDATE incarnations SET beat_at = :at, unbroken_since = CASE
                    WHEN :at - beat_at > :stale OR :at < beat_at THEN :at
                    ELSE unbroken_since END
                WHERE id = :id
                RETURNING *
                """,
                id=incarnation,
                at=await rows.now(c),
                stale=STALE_MS,
            )
            beat = _heartbeat(row, incarnation)
            return structs.replace(beat, before=before["beat_at"] if before else 0)

        return await self._db.write(work)

    async def leave(self, incarnation: str) -> None:
        async def work(c: Connection) -> None:
            await c.run("DELETE FROM incarnations WHERE id = :id", id=incarnation)

        await self._db.write(work)

    async def living(self) -> list[Heartbeat]:
        async def work(c: Connection) -> list[Heartbeat]:
            found = await c.all(
                f"SELECT * FROM incarnations WHERE {ALIVE} ORDER BY started_at, id",
                **_around(await rows.now(c)),
            )
            return [_heartbeat(row, row["id"]) for row in found]

        return await self._db.read(work)

    async def orphans(
        self, taker: str, *, limit: int = 100, proof_of_death: bool = False
    ) -> list[Answer]:
        dead = "a.incarnation <> :taker" if proof_of_death else DEAD_OWNER

        async def work(c: Connection) -> list[Answer]:
            at = await rows.now(c)
            proof: dict[str, Value] = {"taker": taker} if proof_of_death else _around(at)
            abandoned = await c.all(
                f"""
                {history.ANSWERS}
                WHERE a.state <> 'ended' AND a.state = 'running' AND {dead}
                ORDER BY a.created_at, a.id LIMIT :limit
                """,
                limit=limit,
                **proof,
            )
            waiting = await c.all(
                f"""
                {history.ANSWERS}
                WHERE a.state <> 'ended' AND a.state = 'queued' AND a.created_at <= :before
                    AND NOT EXISTS (
                        SELECT 1 FROM answers earlier
                        WHERE earlier.tenant = a.tenant
                            AND earlier.conversation = a.conversation
                            AND earlier.number < a.number AND earlier.state <> 'ended')
                ORDER BY a.created_at, a.id LIMIT :limit
                """,
                before=at if proof_of_death else at - UNCLAIMED_MS,
                limit=limit,
            )
            return [rows.answer(row) for row in [*abandoned, *waiting][:limit]]

        return await self._db.read(work)

    async def held_by(self, incarnation: str) -> list[Answer]:
        async def work(c: Connection) -> list[Answer]:
            found = await c.all(
                f"""
                {history.ANSWERS}
                WHERE a.state <> 'ended' AND a.incarnation = :incarnation
                ORDER BY a.created_at, a.id
                """,
                incarnation=incarnation,
            )
            return [rows.answer(row) for row in found]

        return await self._db.read(work)

    async def resumable(self, *, limit: int = 100) -> list[Answer]:
        async def work(c: Connection) -> list[Answer]:
            found = await c.all(
                f"""
                {history.ANSWERS}
                WHERE a.state <> 'ended' AND a.state = 'parked' AND NOT EXISTS (
                    SELECT 1 FROM tool_calls t
                    WHERE t.tenant = a.tenant AND t.answer = a.id AND {history.WAITING})
                ORDER BY a.created_at, a.id LIMIT :limit
                """,
                limit=limit,
            )
            return [rows.answer(row) for row in found]

        return await self._db.read(work)

    async def take_over(
        self, seen: Answer, taker: str, *, proof_of_death: bool = False
    ) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            at = await rows.now(c)
            may_take = "" if proof_of_death else MAY_TAKE
            moments: dict[str, Value] = {**_around(at), "unbroken": at - UNBROKEN_MS}
            taken = await c.one(
                f"""
                UPDATE answers SET incarnation = :taker, fence = fence + 1
                WHERE tenant = :tenant AND id = :id AND state = 'running'
                    AND incarnation = :owner AND fence = :fence {may_take}
                RETURNING id
                """,
                tenant=seen.tenant,
                id=seen.id,
                owner=seen.incarnation,
                fence=seen.fence,
                taker=taker,
                **({} if proof_of_death else moments),
            )
            return None if taken is None else await answers.get(c, seen.tenant, seen.id)

        return await self._db.write(work)


def _around(at: int) -> dict[str, Value]:
    """The binds of `ALIVE`."""
    return {"stale": at - STALE_MS, "ahead": at + STALE_MS}


def _heartbeat(row: Row | None, incarnation: str) -> Heartbeat:
    if row is None:
        raise NotFound("incarnation", incarnation)
    return Heartbeat(
        incarnation=row["id"],
        instance=row["instance"],
        started_at=row["started_at"],
        beat_at=row["beat_at"],
        unbroken_since=row["unbroken_since"],
    )
