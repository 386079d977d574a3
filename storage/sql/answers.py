"""An answer's life between being queued and its end: compare-and-sets, each won by one.

The fence rises whenever an answer changes hands, so what an earlier holder tries finds no row.
"""

from collections.abc import Mapping, Sequence

from protocol.text import utf16_length
from protocol.types import AnswerState, FinishReason
from storage.errors import Conflict, NotFound
from storage.records import (
    Answer,
    Checkpoint,
    Checkpointed,
    Ended,
    Ending,
    Held,
    Opening,
    RunState,
    Tail,
    Thread,
    Verdict,
)
from storage.sql import ending, history, locking, rows, tree
from storage.sql.database import Connection, Database, Row, Value
from storage.values import Json


async def get(c: Connection, tenant: str, answer: str) -> Answer | None:
    """The answer as it is now."""
    row = await c.one(
        f"{history.ANSWERS} WHERE a.tenant = :tenant AND a.id = :id", tenant=tenant, id=answer
    )
    return None if row is None else rows.answer(row)


class SqlAnswers:
    """See `storage.store.InternalAnswers`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, tenant: str, answer: str) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            return await get(c, tenant, answer)

        return await self._db.read(work)

    async def opening(self, tenant: str, conversation: str) -> Opening:
        async def work(c: Connection) -> Opening:
            row = await c.one(
                """
                SELECT COALESCE((
                    SELECT MIN(a.terminal) - 1 FROM answers a
                    WHERE a.tenant = c.tenant AND a.conversation = c.id AND a.state <> 'ended'
                ), c.commits) AS told
                FROM conversations c WHERE c.tenant = :tenant AND c.id = :id
                """,
                tenant=tenant,
                id=conversation,
            )
            if row is None:
                raise NotFound("conversation", conversation)
            alive = await history.unfinished(c, tenant, conversation)
            return Opening(rows=row["told"], unfinished=tuple(alive))

        return await self._db.read(work)

    async def thread(self, tenant: str, conversation: str, leaf: str, *, limit: int) -> Thread:
        async def work(c: Connection) -> Thread:
            return await tree.thread(c, tenant, conversation, leaf, limit=limit)

        return await self._db.read(work)

    async def of_shut_out(self, *, limit: int = 100) -> list[Answer]:
        async def work(c: Connection) -> list[Answer]:
            found = await c.all(
                f"""
                {history.ANSWERS}
                JOIN users u ON u.tenant = c.tenant AND u.id = c.owner
                WHERE a.state <> 'ended' AND a.stop_reason IS NULL AND u.disabled = 1
                    AND c.deleted_at IS NULL
                ORDER BY a.conversation, a.number DESC LIMIT :limit
                """,
                limit=limit,
            )
            return [rows.answer(row) for row in found]

        return await self._db.read(work)

    async def claim(self, tenant: str, answer: str, incarnation: str) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            # Answers end in no other order than ahead of this one, and new ones come behind it:
            # what the subquery saw free stays free.
            claimed = await c.one(
                """
                UPDATE answers SET state = 'running', incarnation = :incarnation,
                    fence = fence + 1, started_at = :at
                WHERE tenant = :tenant AND id = :id AND state = 'queued' AND NOT EXISTS (
                    SELECT 1 FROM answers earlier
                    WHERE earlier.tenant = answers.tenant
                        AND earlier.conversation = answers.conversation
                        AND earlier.number < answers.number AND earlier.state <> 'ended')
                RETURNING id
                """,
                tenant=tenant,
                id=answer,
                incarnation=incarnation,
                at=await rows.now(c),
            )
            return None if claimed is None else await get(c, tenant, answer)

        return await self._db.write(work)

    async def park(
        self,
        held: Held,
        transcript: Json,
        tail: Tail | None = None,
        *,
        model: str | None = None,
        provider: str | None = None,
    ) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            row = await locking.held_answer(c, held)
            if row["stop_reason"] is not None:
                return None
            text = ending.missing(tail, row["length"])
            if tail is not None and text:
                await _insert_piece(c, held, tail, row["length"], text)
            await c.run(
                """
                UPDATE answers SET state = 'parked', incarnation = NULL, fence = fence + 1,
                    phase = :phase, transcript = :transcript, length = :length, epoch = :epoch,
                    seq = :seq, model = COALESCE(:model, model),
                    provider = COALESCE(:provider, provider)
                WHERE tenant = :tenant AND id = :id
                """,
                tenant=held.tenant,
                id=held.answer,
                epoch=row["epoch"] if tail is None else tail.epoch,
                seq=row["seq"] if tail is None else tail.seq,
                model=model,
                provider=provider,
                phase=AnswerState.PARKED,
                transcript=rows.text(transcript),
                length=row["length"] + utf16_length(text),
            )
            return await get(c, held.tenant, held.answer)

        return await self._db.write(work)

    async def resume(self, tenant: str, answer: str, incarnation: str) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            resumed = await c.one(
                """
                UPDATE answers SET state = 'running', incarnation = :incarnation,
                    fence = fence + 1
                WHERE tenant = :tenant AND id = :id AND state = 'parked'
                RETURNING id
                """,
                tenant=tenant,
                id=answer,
                incarnation=incarnation,
            )
            return None if resumed is None else await get(c, tenant, answer)

        return await self._db.write(work)

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> list[Checkpointed]:
        if len({checkpoint.held.answer for checkpoint in batch}) < len(batch):
            # One statement would move the length once and store both texts.
            raise ValueError("a batch has one checkpoint per answer")

        async def work(c: Connection) -> list[Checkpointed]:
            return await _checkpoint(c, batch)

        return await self._db.write(work) if batch else []

    async def reset(self, held: Held, *, attempt: int) -> int:
        async def work(c: Connection) -> int:
            at = await rows.now(c)
            row = await locking.held_answer(c, held)
            if row["attempt"] == attempt + 1:
                return attempt + 1
            if row["attempt"] != attempt:
                raise Conflict("other", "attempts are given up one by one")
            # Or the answer would wait, parked, for what nobody needs any more.
            await ending.close_calls(c, held.tenant, held.answer, at=at)
            await c.run(
                "DELETE FROM pieces WHERE tenant = :tenant AND answer = :id",
                tenant=held.tenant,
                id=held.answer,
            )
            await c.run(
                """
                UPDATE answers SET attempt = attempt + 1, length = 0, citations = '[]'
                WHERE tenant = :tenant AND id = :id
                """,
                tenant=held.tenant,
                id=held.answer,
            )
            return attempt + 1

        return await self._db.write(work)

    async def end(self, held: Held, how: Ending) -> Ended:
        async def work(c: Connection) -> Ended:
            at = await rows.now(c)
            owner = await locking.conversation(c, held.tenant, held.conversation)
            row = await locking.answer(c, held.tenant, held.answer)
            if owner is None or row is None or row["fence"] != held.fence:
                raise locking.fenced(held)
            if row["state"] == RunState.ENDED:
                return rows.ended(row)
            if row["state"] != RunState.RUNNING:
                raise locking.fenced(held)
            return await ending.finish(c, owner, row, how, at=at)

        return await self._db.write(work)


async def _checkpoint(c: Connection, batch: Sequence[Checkpoint]) -> list[Checkpointed]:
    """Two statements however many answers run, and a third for those that were refused."""
    placed = await c.all(
        f"""
        UPDATE answers SET length = length + CAST(item.value ->> 'length' AS BIGINT),
            epoch = item.value ->> 'epoch', seq = CAST(item.value ->> 'seq' AS BIGINT),
            phase = item.value ->> 'phase',
            citations = COALESCE(item.value ->> 'citations', citations)
        FROM {rows.each(c, "batch")}
        WHERE answers.tenant = item.value ->> 'tenant' AND answers.id = item.value ->> 'answer'
            AND answers.state = 'running'
            AND answers.fence = CAST(item.value ->> 'fence' AS BIGINT)
            AND answers.length = CAST(item.value ->> 'start' AS BIGINT)
        RETURNING id, length, stop_reason
        """,
        batch=rows.objects(_columns(checkpoint) for checkpoint in batch),
    )
    stored = {row["id"]: row for row in placed}
    await c.run(
        f"""
        INSERT INTO pieces (tenant, answer, start, text, epoch, seq)
        SELECT item.value ->> 'tenant', item.value ->> 'answer',
            CAST(item.value ->> 'start' AS BIGINT), item.value ->> 'text',
            item.value ->> 'epoch', CAST(item.value ->> 'seq' AS BIGINT)
        FROM {rows.each(c, "batch")}
        """,
        batch=rows.objects(
            {
                "tenant": checkpoint.held.tenant,
                "answer": checkpoint.held.answer,
                "start": checkpoint.start,
                "text": checkpoint.text,
                "epoch": checkpoint.epoch,
                "seq": checkpoint.seq,
            }
            for checkpoint in batch
            if checkpoint.held.answer in stored and checkpoint.text
        ),
    )
    refused = [checkpoint for checkpoint in batch if checkpoint.held.answer not in stored]
    found = await _as_stored(c, refused)
    return [_verdict(checkpoint, stored.get(checkpoint.held.answer), found) for checkpoint in batch]


async def _as_stored(c: Connection, refused: Sequence[Checkpoint]) -> dict[str, Row]:
    if not refused:
        return {}
    found = await c.all(
        f"""
        SELECT a.id, a.length, a.stop_reason, a.epoch, a.seq, a.citations, p.text AS last
        FROM {rows.each(c, "batch")}
        JOIN answers a ON a.tenant = item.value ->> 'tenant' AND a.id = item.value ->> 'answer'
            AND a.state = 'running' AND a.fence = CAST(item.value ->> 'fence' AS BIGINT)
        LEFT JOIN pieces p ON p.tenant = a.tenant AND p.answer = a.id
            AND p.start = CAST(item.value ->> 'start' AS BIGINT)
        """,
        batch=rows.objects(_columns(checkpoint) for checkpoint in refused),
    )
    return {row["id"]: row for row in found}


def _verdict(checkpoint: Checkpoint, stored: Row | None, found: Mapping[str, Row]) -> Checkpointed:
    answer = checkpoint.held.answer
    row = stored or found.get(answer)
    if row is None:
        return Checkpointed(answer=answer, verdict=Verdict.FENCED)
    verdict = Verdict.STORED
    if stored is None and not _stands(checkpoint, row):
        verdict = Verdict.MISPLACED
    reason = row["stop_reason"]
    return Checkpointed(
        answer=answer,
        verdict=verdict,
        length=row["length"],
        stop=None if reason is None else FinishReason(reason),
    )


def _stands(checkpoint: Checkpoint, row: Row) -> bool:
    """Whether it was stored before, all of it: then the log need not keep what it covers."""
    return (
        row["last"] == checkpoint.text
        and (row["epoch"], row["seq"]) == (checkpoint.epoch, checkpoint.seq)
        and (
            checkpoint.citations is None
            or row["citations"] == rows.optional_text(checkpoint.citations)
        )
    )


def _columns(checkpoint: Checkpoint) -> dict[str, Value]:
    held = checkpoint.held
    return {
        "tenant": held.tenant,
        "answer": held.answer,
        "fence": held.fence,
        "start": checkpoint.start,
        "length": utf16_length(checkpoint.text),
        "epoch": checkpoint.epoch,
        "seq": checkpoint.seq,
        "phase": checkpoint.phase,
        # As a string inside the JSON, or the engines would rewrite it each in its own way.
        "citations": rows.optional_text(checkpoint.citations),
    }


async def _insert_piece(c: Connection, held: Held, tail: Tail, start: int, text: str) -> None:
    await c.run(
        """
        INSERT INTO pieces (tenant, answer, start, text, epoch, seq)
        VALUES (:tenant, :answer, :start, :text, :epoch, :seq)
        """,
        tenant=held.tenant,
        answer=held.answer,
        start=start,
        text=text,
        epoch=tail.epoch,
        seq=tail.seq,
    )
