"""Commit numbers, and the outbox they make: what a conversation's log has to tell, in order.

A number is taken from the conversation's counter in the transaction of what it counts, and the
conversation's row stays locked until that commits. So numbers have no holes and no late comers.

An answer's end may get its number before it ends: who interrupts reserves it, so that the message
which interrupts stands behind the `complete` it causes. The outbox stops at such a gap in time.
"""

from collections.abc import Sequence

from storage.records import Commit, CommitKind, Conversation, Ended, Feedback, Message
from storage.sql import history, rows
from storage.sql.database import Connection, Database, Row


async def add(
    c: Connection,
    tenant: str,
    conversation: str,
    subjects: Sequence[tuple[CommitKind, str]],
    *,
    at: int,
) -> tuple[int, ...]:
    """Number what this unit commits, in the given order."""
    counted = await c.one(
        """
        UPDATE conversations SET commits = commits + :count
        WHERE tenant = :tenant AND id = :conversation
        RETURNING commits
        """,
        tenant=tenant,
        conversation=conversation,
        count=len(subjects),
    )
    assert counted is not None
    last: int = counted["commits"]
    numbers = tuple(range(last - len(subjects) + 1, last + 1))
    await insert(c, tenant, conversation, subjects, numbers, at=at)
    return numbers


async def insert(
    c: Connection,
    tenant: str,
    conversation: str,
    subjects: Sequence[tuple[CommitKind, str]],
    numbers: Sequence[int],
    *,
    at: int,
) -> None:
    """Write down numbers that were taken from the counter already."""
    await c.run(
        f"""
        INSERT INTO commits (tenant, conversation, number, kind, subject, logged, created_at)
        SELECT :tenant, :conversation, CAST(item.value ->> 'number' AS BIGINT),
            item.value ->> 'kind', item.value ->> 'subject', 0, :at
        FROM {rows.each(c, "commits")}
        """,
        tenant=tenant,
        conversation=conversation,
        at=at,
        commits=rows.objects(
            {"number": number, "kind": kind, "subject": subject}
            for number, (kind, subject) in zip(numbers, subjects, strict=True)
        ),
    )


class SqlOutbox:
    """See `storage.store.Outbox`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def overdue(
        self, *, older_than_ms: int, limit: int, after: tuple[str, str] | None = None
    ) -> list[tuple[str, str]]:
        """(tenant, conversation) of those whose log is behind by that much."""
        tenant, conversation = after or ("", "")

        async def work(c: Connection) -> list[Row]:
            # Nothing is overdue behind an answer that is still to end: its owner, or who takes it
            # over, is what it waits for.
            return await c.all(
                """
                SELECT DISTINCT k.tenant, k.conversation FROM commits k
                WHERE k.logged = 0 AND k.created_at <= :before
                    AND (k.tenant, k.conversation) > (:tenant, :conversation)
                    AND NOT EXISTS (
                        SELECT 1 FROM commits r
                        JOIN answers a ON a.tenant = r.tenant AND a.id = r.subject
                        WHERE r.tenant = k.tenant AND r.conversation = k.conversation
                            AND r.number <= k.number AND r.logged = 0
                            AND r.kind = 'complete' AND a.state <> 'ended')
                ORDER BY k.tenant, k.conversation LIMIT :limit
                """,
                before=await rows.now(c) - older_than_ms,
                tenant=tenant,
                conversation=conversation,
                limit=limit,
            )

        found = await self._db.read(work)
        return [(row["tenant"], row["conversation"]) for row in found]

    async def unlogged(self, tenant: str, conversation: str, *, limit: int) -> list[Commit]:
        """What the log is to be told next, oldest first."""

        async def work(c: Connection) -> list[Commit]:
            waiting = await c.all(
                """
                SELECT k.number, k.kind, k.subject, a.state
                FROM commits k LEFT JOIN answers a
                    ON k.kind = 'complete' AND a.tenant = k.tenant AND a.id = k.subject
                WHERE k.tenant = :tenant AND k.conversation = :conversation AND k.logged = 0
                ORDER BY k.number LIMIT :limit
                """,
                tenant=tenant,
                conversation=conversation,
                limit=limit,
            )
            ready = []
            for row in waiting:
                if row["kind"] == CommitKind.COMPLETE and row["state"] != "ended":
                    break
                ready.append(row)
            return await _with_rows(c, tenant, conversation, ready)

        return await self._db.read(work)

    async def mark_logged(self, batch: Sequence[tuple[str, str, int]]) -> None:
        """The logs have all that was committed up to these numbers."""

        async def work(c: Connection) -> None:
            await c.run(
                f"""
                UPDATE commits SET logged = 1 FROM {rows.each(c, "batch")}
                WHERE commits.tenant = item.value ->> 'tenant'
                    AND commits.conversation = item.value ->> 'conversation'
                    AND commits.number <= CAST(item.value ->> 'up_to' AS BIGINT)
                    AND commits.logged = 0
                """,
                batch=rows.objects(
                    {"tenant": tenant, "conversation": conversation, "up_to": up_to}
                    for tenant, conversation, up_to in batch
                ),
            )

        if batch:
            # Forgetting it costs a repeated append, which the log recognises.
            await self._db.write(work, durable=False)


async def _with_rows(
    c: Connection, tenant: str, conversation: str, commits: Sequence[Row]
) -> list[Commit]:
    def subjects(*kinds: CommitKind) -> list[str]:
        return [row["subject"] for row in commits if row["kind"] in kinds]

    found: dict[tuple[str, str], Message | Ended | Conversation | Feedback] = {}
    spoken = subjects(CommitKind.MESSAGE, CommitKind.FEEDBACK)
    for message in await history.messages(c, tenant, spoken):
        found[CommitKind.MESSAGE, message.id] = message
        if message.feedback is not None:
            found[CommitKind.FEEDBACK, message.id] = message.feedback
    for end in await history.ends(c, tenant, subjects(CommitKind.COMPLETE)):
        found[CommitKind.COMPLETE, end.answer] = end
    for _ in subjects(CommitKind.CONVERSATION)[:1]:
        found[CommitKind.CONVERSATION, conversation] = await history.conversation(
            c, tenant, conversation
        )
    return [
        Commit(
            number=row["number"],
            kind=CommitKind(row["kind"]),
            row=found[row["kind"], row["subject"]],
        )
        for row in commits
    ]
