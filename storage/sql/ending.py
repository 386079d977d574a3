"""The one end of an answer, whoever brings it about: its owner, a stop, an interrupt, a taker."""

from protocol.text import crc32, utf16_length, utf16_slice
from protocol.types import FinishReason, Outcome
from storage.errors import Conflict
from storage.records import CommitKind, Ended, Ending, RunState, Stopping, Tail, Timings
from storage.sql import commits, history, locking, rows, usage
from storage.sql.database import Connection, Row, Value
from storage.values import Owner, Spent

SUPERSEDED = Ending(outcome=Outcome.STOPPED, finish_reason=FinishReason.SUPERSEDED)
STOPPED = Ending(outcome=Outcome.STOPPED, finish_reason=FinishReason.STOPPED)


async def stop_all(
    c: Connection, owner: Owner, conversation: str, ending: Ending, *, at: int
) -> tuple[tuple[Ended, ...], tuple[Stopping, ...]]:
    """End what waits, ask what runs to stop, and number the ends: all before what comes next.

    The conversation is locked.
    """
    tenant = owner.tenant
    alive = await locking.unfinished(c, tenant, conversation)
    ended = [
        await finish(c, owner, row, ending, at=at)
        for row in alive
        if row["state"] != RunState.RUNNING
    ]
    running = [row for row in alive if row["state"] == RunState.RUNNING]
    for row in running:
        await request_stop(c, row, ending.finish_reason)
        if row["terminal"] is None:
            subject = (CommitKind.COMPLETE, row["id"])
            (number,) = await commits.add(c, tenant, conversation, [subject], at=at)
            await c.run(
                "UPDATE answers SET terminal = :number WHERE tenant = :tenant AND id = :id",
                tenant=tenant,
                id=row["id"],
                number=number,
            )
    stopping = [Stopping(answer=row["id"], incarnation=row["incarnation"]) for row in running]
    return tuple(ended), tuple(stopping)


async def request_stop(c: Connection, row: Row, reason: FinishReason) -> None:
    """Have the owner of a running answer end it; the first reason stands."""
    await c.run(
        """
        UPDATE answers SET stop_reason = COALESCE(stop_reason, :reason)
        WHERE tenant = :tenant AND id = :id
        """,
        tenant=row["tenant"],
        id=row["id"],
        reason=reason,
    )


async def finish(c: Connection, owner: Owner, row: Row, ending: Ending, *, at: int) -> Ended:
    """End an answer that has not ended. Its conversation, the owner's, and its row are locked."""
    tenant, answer = row["tenant"], row["id"]
    stored = (await history.pieces(c, tenant, [answer])).get(answer, "") if row["length"] else ""
    text = stored + missing(ending.tail, row["length"])
    await close_calls(c, tenant, answer, at=at)
    spent = await usage.insert(c, owner, ending.expenses, at=at)
    total = await usage.of_answer(c, tenant, answer)
    terminal = await _count(c, row, spent, at=at)
    await _keep_text(c, row, text)
    final = await c.one(
        """
        UPDATE answers SET state = 'ended', incarnation = NULL, transcript = NULL,
            outcome = :outcome, finish_reason = :reason, length = :length, crc32 = :crc32,
            model = COALESCE(:model, model), provider = COALESCE(:provider, provider),
            prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,
            cost_nano = :cost_nano, citations = COALESCE(:citations, citations),
            sources = COALESCE(:sources, sources), degraded = :degraded, timings = :timings,
            error = :error, terminal = :terminal, ended_at = :at
        WHERE tenant = :tenant AND id = :answer
        RETURNING *, EXISTS (
            SELECT 1 FROM answers other
            WHERE other.tenant = answers.tenant AND other.conversation = answers.conversation
                AND other.id <> answers.id AND other.state <> 'ended' AND other.state = 'queued'
        ) AS waiting
        """,
        tenant=tenant,
        answer=answer,
        length=utf16_length(text),
        crc32=crc32(text),
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        cost_nano=total.cost_nano,
        terminal=terminal,
        at=at,
        **_how(row, ending, at),
    )
    assert final is not None
    return rows.ended(final, fresh=True, waiting=bool(final["waiting"]))


def _how(row: Row, ending: Ending, at: int) -> dict[str, Value]:
    """A stop that was asked for decides how it ended, whatever the owner had come to meanwhile.

    Whoever asked was told that it stopped.
    """
    outcome, reason, error = ending.outcome, ending.finish_reason, ending.error
    if row["stop_reason"] is not None:
        outcome, reason, error = Outcome.STOPPED, FinishReason(row["stop_reason"]), None
    return {
        "outcome": outcome,
        "reason": reason,
        "error": rows.optional_text(error),
        "model": ending.model,
        "provider": ending.provider,
        "citations": rows.optional_text(ending.citations),
        "sources": rows.optional_text(ending.sources),
        "degraded": rows.text(ending.degraded),
        "timings": rows.text(ending.timings or _timings(row, at)),
    }


async def _count(c: Connection, row: Row, spent: Spent, *, at: int) -> int:
    """Change the conversation once for all that an end changes of it; the end's number."""
    reserved: int | None = row["terminal"]
    counted = await c.one(
        f"""
        UPDATE conversations SET commits = commits + :count, updated_at = :at, {usage.ADDED}
        WHERE tenant = :tenant AND id = :id
        RETURNING commits
        """,
        tenant=row["tenant"],
        id=row["conversation"],
        count=1 if reserved is None else 0,
        at=at,
        **usage.added(spent),
    )
    assert counted is not None
    if reserved is not None:
        return reserved
    number: int = counted["commits"]
    subject = (CommitKind.COMPLETE, row["id"])
    await commits.insert(c, row["tenant"], row["conversation"], [subject], [number], at=at)
    return number


async def _keep_text(c: Connection, row: Row, text: str) -> None:
    """The pieces become the message."""
    tenant, answer = row["tenant"], row["id"]
    await c.run(
        "UPDATE messages SET content = :text WHERE tenant = :tenant AND id = :id",
        tenant=tenant,
        id=answer,
        text=text,
    )
    if row["length"]:
        await c.run(
            "DELETE FROM pieces WHERE tenant = :tenant AND answer = :id", tenant=tenant, id=answer
        )


def missing(tail: Tail | None, length: int) -> str:
    """What of the tail is not stored: a checkpoint may have got further than its writer heard."""
    if tail is None:
        return ""
    text = utf16_slice(tail.text, length - tail.start, utf16_length(tail.text))
    if text is None and length >= tail.start + utf16_length(tail.text):
        return ""
    if text is None:
        raise Conflict("other", "text must be stored without a gap")
    return text


async def close_calls(c: Connection, tenant: str, answer: str, *, at: int) -> None:
    """What has not run never will; of what was running nobody knows."""
    await c.run(
        """
        UPDATE tool_calls
        SET state = CASE state WHEN 'running' THEN 'unknown' ELSE 'expired' END,
            expires_at = NULL, updated_at = :at
        WHERE tenant = :tenant AND answer = :answer
            AND state IN ('requested', 'awaiting_approval', 'running')
        """,
        tenant=tenant,
        answer=answer,
        at=at,
    )


def _timings(row: Row, at: int) -> Timings:
    started = at if row["started_at"] is None else row["started_at"]
    return Timings(queue=max(0, started - row["created_at"]), total=max(0, at - row["created_at"]))
