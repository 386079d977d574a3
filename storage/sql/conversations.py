"""Conversations themselves: made, changed, listed, pointed at another branch, deleted."""

from msgspec import Struct

from protocol.types import ConversationStatus
from storage.errors import NotFound
from storage.ids import Ids, Kind
from storage.records import (
    Change,
    CommitKind,
    Conversation,
    ConversationPage,
    Cursor,
    Deleted,
    NewConversation,
)
from storage.sql import commits, ending, history, idempotency, locking, rows
from storage.sql.database import Connection, Database, Value
from storage.values import Once, Owner

# The list's filter; a status of NULL lists them all.
LISTED = """
c.tenant = :tenant AND c.owner = :owner AND c.deleted_at IS NULL
AND (CAST(:status AS TEXT) IS NULL OR c.status = :status)
"""


async def insert(c: Connection, owner: Owner, ids: Ids, new: NewConversation, *, at: int) -> str:
    """Make an empty conversation."""
    id = ids(Kind.CONVERSATION)
    await c.run(
        """
        INSERT INTO conversations (tenant, id, owner, title, status, model, system_prompt,
            collection, metadata, message_count, commits, prompt_tokens, completion_tokens,
            cost_nano, created_at, updated_at)
        VALUES (:tenant, :id, :owner, :title, 'active', :model, :system_prompt, :collection,
            :metadata, 0, 0, 0, 0, 0, :at, :at)
        """,
        tenant=owner.tenant,
        id=id,
        owner=owner.user,
        title=new.title,
        model=new.model,
        system_prompt=new.system_prompt,
        collection=new.collection,
        metadata=rows.text(new.metadata),
        at=at,
    )
    return id


class _Made(Struct, frozen=True, tag="made"):
    """What the id of a `create` stands for."""

    id: str


class _Selected(Struct, frozen=True, tag="selected"):
    """What the id of a `select` stands for."""

    leaf: str


class SqlConversations:
    """See `storage.store.Conversations`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    async def create(self, owner: Owner, once: Once, new: NewConversation) -> Conversation:
        async def work(c: Connection) -> Conversation:
            at, before = await idempotency.claim(c, owner, once, _Made)
            if before is None:
                before = _Made(id=await insert(c, owner, self._ids, new, at=at))
                await idempotency.settle(c, owner, once, before)
            return rows.conversation(await history.owned(c, owner, before.id))

        return await self._db.write(work)

    async def get(self, owner: Owner, conversation: str) -> Conversation:
        async def work(c: Connection) -> Conversation:
            return rows.conversation(await history.owned(c, owner, conversation))

        return await self._db.read(work)

    async def list(
        self,
        owner: Owner,
        *,
        status: ConversationStatus | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> ConversationPage:
        beyond = "" if after is None else "AND (c.updated_at, c.id) < (:updated_at, :id)"
        position: dict[str, Value] = (
            {} if after is None else {"updated_at": after.updated_at, "id": after.id}
        )

        async def work(c: Connection) -> ConversationPage:
            found = await c.all(
                f"""
                {history.CONVERSATIONS} WHERE {LISTED} {beyond}
                ORDER BY c.updated_at DESC, c.id DESC LIMIT :limit
                """,
                tenant=owner.tenant,
                owner=owner.user,
                status=status,
                limit=limit + 1,
                **position,
            )
            counted = await c.one(
                f"SELECT COUNT(*) AS total FROM conversations c WHERE {LISTED}",
                tenant=owner.tenant,
                owner=owner.user,
                status=status,
            )
            assert counted is not None
            items = tuple(rows.conversation(row) for row in found[:limit])
            more = len(found) > limit
            return ConversationPage(
                items=items,
                next=Cursor(items[-1].updated_at, items[-1].id) if more else None,
                total=counted["total"],
            )

        return await self._db.read(work)

    async def change(self, owner: Owner, conversation: str, change: Change) -> Conversation:
        async def work(c: Connection) -> Conversation:
            at = await rows.now(c)
            changed = await c.one(
                """
                UPDATE conversations SET title = COALESCE(:title, title),
                    status = COALESCE(:status, status), model = COALESCE(:model, model),
                    system_prompt = COALESCE(:system_prompt, system_prompt),
                    collection = COALESCE(:collection, collection),
                    metadata = COALESCE(:metadata, metadata),
                    summary = COALESCE(:summary, summary), updated_at = :at
                WHERE tenant = :tenant AND id = :id AND owner = :owner AND deleted_at IS NULL
                RETURNING id
                """,
                tenant=owner.tenant,
                owner=owner.user,
                id=conversation,
                title=change.title,
                status=change.status,
                model=change.model,
                system_prompt=change.system_prompt,
                collection=change.collection,
                metadata=rows.optional_text(change.metadata),
                summary=change.summary,
                at=at,
            )
            if changed is None:
                raise NotFound("conversation", conversation)
            return await _told(c, owner, conversation, at=at)

        return await self._db.write(work)

    async def select(
        self, owner: Owner, once: Once, conversation: str, message: str
    ) -> Conversation:
        async def work(c: Connection) -> Conversation:
            at, before = await idempotency.claim(c, owner, once, _Selected)
            if before is not None:
                return rows.conversation(await history.owned(c, owner, conversation))
            active = await locking.owned_conversation(c, owner, conversation)
            await history.message_of(c, owner, conversation, message)
            leaf = await history.newest_below(c, owner.tenant, conversation, message)
            await idempotency.settle(c, owner, once, _Selected(leaf=leaf))
            if active == leaf:
                return rows.conversation(await history.owned(c, owner, conversation))
            await c.run(
                """
                UPDATE conversations SET leaf = :leaf, updated_at = :at
                WHERE tenant = :tenant AND id = :id AND owner = :owner
                """,
                tenant=owner.tenant,
                owner=owner.user,
                id=conversation,
                leaf=leaf,
                at=at,
            )
            return await _told(c, owner, conversation, at=at)

        return await self._db.write(work)

    async def delete(self, owner: Owner, conversation: str) -> Deleted:
        async def work(c: Connection) -> Deleted:
            at = await rows.now(c)
            await locking.owned_conversation(c, owner, conversation)
            ended, stopping = await ending.stop_all(c, owner, conversation, ending.STOPPED, at=at)
            await c.run(
                """
                UPDATE conversations SET deleted_at = :at
                WHERE tenant = :tenant AND id = :id AND owner = :owner
                """,
                tenant=owner.tenant,
                owner=owner.user,
                id=conversation,
                at=at,
            )
            return Deleted(ended=ended, stopping=stopping)

        return await self._db.write(work)


async def _told(c: Connection, owner: Owner, conversation: str, *, at: int) -> Conversation:
    """The conversation as it is now, which its log is to tell."""
    subject = (CommitKind.CONVERSATION, conversation)
    await commits.add(c, owner.tenant, conversation, [subject], at=at)
    return rows.conversation(await history.owned(c, owner, conversation))
