"""What readers think of messages: one opinion per reader and message, the last one said."""

from storage.errors import NotFound
from storage.records import CommitKind, Feedback
from storage.sql import commits, idempotency, locking, tree
from storage.sql.database import Connection, Database, Row
from storage.values import Once, Owner


class SqlOpinions:
    """See `storage.store.Opinions`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(
        self,
        owner: Owner,
        once: Once,
        message: str,
        *,
        rating: str,
        comment: str | None = None,
        conversation: str | None = None,
    ) -> Feedback:
        async def work(c: Connection) -> Feedback:
            at, before = await idempotency.claim(c, owner, once, Feedback)
            if before is not None:
                if conversation not in (None, before.conversation):
                    raise NotFound("message", message)
                return before
            place = conversation
            if place is None:
                place = (await tree.owned_message(c, owner, message))["conversation"]
            await locking.owned_conversation(c, owner, place)
            await tree.message_of(c, owner, place, message)
            saved = Feedback(
                message=message,
                conversation=place,
                rating=rating,
                comment=comment,
                updated_at=at,
            )
            await _upsert(c, owner, saved)
            subject = (CommitKind.FEEDBACK, message)
            await commits.add(c, owner.tenant, place, [subject], at=at)
            await idempotency.settle(c, owner, once, saved)
            return saved

        return await self._db.write(work)


class SqlFeedback:
    """See `storage.store.InternalFeedback`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def since(
        self, tenant: str, moment: int, *, after: str = "", limit: int = 100
    ) -> list[Feedback]:
        async def work(c: Connection) -> list[Feedback]:
            found = await c.all(
                """
                SELECT * FROM feedback
                WHERE tenant = :tenant AND (updated_at, message) > (:moment, :after)
                ORDER BY updated_at, message LIMIT :limit
                """,
                tenant=tenant,
                moment=moment,
                after=after,
                limit=limit,
            )
            return [_opinion(row) for row in found]

        return await self._db.read(work)


async def _upsert(c: Connection, owner: Owner, saved: Feedback) -> None:
    await c.run(
        """
        INSERT INTO feedback (tenant, message, owner, conversation, rating, comment, created_at,
            updated_at)
        VALUES (:tenant, :message, :owner, :conversation, :rating, :comment, :at, :at)
        ON CONFLICT (tenant, message, owner) DO UPDATE
            SET rating = :rating, comment = :comment, updated_at = :at
        """,
        tenant=owner.tenant,
        message=saved.message,
        owner=owner.user,
        conversation=saved.conversation,
        rating=saved.rating,
        comment=saved.comment,
        at=saved.updated_at,
    )


def _opinion(row: Row) -> Feedback:
    return Feedback(
        message=row["message"],
        conversation=row["conversation"],
        rating=row["rating"],
        comment=row["comment"],
        updated_at=row["updated_at"],
    )
