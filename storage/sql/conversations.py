"""Conversations themselves: made, changed, listed, pointed at another branch, deleted."""

from msgspec import UNSET, Struct, structs

from protocol.types import ConversationStatus
from storage.ids import Ids, Kind
from storage.records import (
    Change,
    Changed,
    CommitKind,
    Conversation,
    ConversationPage,
    Created,
    Cursor,
    Deleted,
    ListedBy,
    Listing,
    NewConversation,
)
from storage.sql import commits, ending, history, idempotency, locking, rows, searching, tree
from storage.sql.database import Connection, Database, Dialect, Value
from storage.values import Once, Owner


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

    async def create(self, owner: Owner, once: Once, new: NewConversation) -> Created:
        async def work(c: Connection) -> Created:
            at, before = await idempotency.claim(c, owner, once, _Made)
            made = before or _Made(id=await insert(c, owner, self._ids, new, at=at))
            if before is None:
                await idempotency.settle(c, owner, once, made)
            row = await history.owned(c, owner, made.id)
            return Created(rows.conversation(row), fresh=before is None)

        return await self._db.write(work)

    async def get(self, owner: Owner, conversation: str) -> Conversation:
        async def work(c: Connection) -> Conversation:
            return rows.conversation(await history.owned(c, owner, conversation))

        return await self._db.read(work)

    async def list(
        self,
        owner: Owner,
        listing: Listing | None = None,
        *,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> ConversationPage:
        wanted = listing or Listing()
        which, binds = await _which(self._db, owner, wanted)

        async def work(c: Connection) -> ConversationPage:
            column, way = _column(wanted.by, c.dialect), "DESC" if wanted.descending else "ASC"
            beyond, place = "", dict[str, Value]()
            if after is not None:
                beyond = f"AND ({column}, c.id) {'<' if wanted.descending else '>'} (:place, :id)"
                place = {"place": after.place, "id": after.id}
            found = await c.all(
                f"""
                {history.CONVERSATIONS} WHERE {which} {beyond}
                ORDER BY {column} {way}, c.id {way} LIMIT :limit
                """,
                limit=limit + 1,
                **binds,
                **place,
            )
            total = await _counted(c, which, binds) if after is None else after.total
            items = tuple(rows.conversation(row) for row in found[:limit])
            return ConversationPage(
                items=items,
                next=_cursor(items[-1], wanted.by, total) if len(found) > limit else None,
                total=total,
            )

        return await self._db.read(work)

    async def change(self, owner: Owner, conversation: str, change: Change) -> Changed:
        given = structs.asdict(change)
        if change.metadata is not UNSET:
            given["metadata"] = rows.text(change.metadata)

        async def work(c: Connection) -> Changed:
            at = await rows.now(c)
            await locking.owned_conversation(c, owner, conversation)
            row = await history.owned(c, owner, conversation)
            before = rows.conversation(row)
            other = {n: v for n, v in given.items() if v is not UNSET and v != row[n]}
            if not other:
                return Changed(before, before)
            await c.run(
                f"""
                UPDATE conversations
                SET {", ".join(f"{name} = :{name}" for name in other)}, updated_at = :at
                WHERE tenant = :tenant AND id = :id AND owner = :owner
                """,
                tenant=owner.tenant,
                owner=owner.user,
                id=conversation,
                at=at,
                **other,
            )
            return Changed(before, await _told(c, owner, conversation, at=at))

        return await self._db.write(work)

    async def select(
        self, owner: Owner, once: Once, conversation: str, message: str
    ) -> Conversation:
        async def work(c: Connection) -> Conversation:
            at, before = await idempotency.claim(c, owner, once, _Selected)
            if before is not None:  # it stands, though the conversation may be deleted by now
                return await history.conversation(c, owner.tenant, conversation)
            active = await locking.owned_conversation(c, owner, conversation)
            await tree.message_of(c, owner, conversation, message)
            leaf = await tree.newest_below(c, owner.tenant, conversation, message)
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
            before = rows.conversation(await history.owned(c, owner, conversation))
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
            return Deleted(conversation=before, ended=ended, stopping=stopping)

        return await self._db.write(work)


async def _told(c: Connection, owner: Owner, conversation: str, *, at: int) -> Conversation:
    """The conversation as it is now, which its log is to tell."""
    subject = (CommitKind.CONVERSATION, conversation)
    await commits.add(c, owner.tenant, conversation, [subject], at=at)
    return rows.conversation(await history.owned(c, owner, conversation))


async def _which(db: Database, owner: Owner, wanted: Listing) -> tuple[str, dict[str, Value]]:
    """The condition that a listed conversation `c` fulfils, and its binds."""
    status, only = wanted.status or ConversationStatus.ARCHIVED, wanted.status is not None
    which = f"""
        c.tenant = :tenant AND c.owner = :owner AND c.deleted_at IS NULL
        AND c.status {"=" if only else "<>"} :status
    """
    binds: dict[str, Value] = {"tenant": owner.tenant, "owner": owner.user, "status": status}
    if wanted.text is None:
        return which, binds
    found = await searching.found(db, wanted.text, which, binds)
    return f"{which} AND c.id IN {rows.among(db, 'found')}", {**binds, "found": rows.ids(found)}


async def _counted(c: Connection, which: str, binds: dict[str, Value]) -> int:
    counted = await c.one(f"SELECT COUNT(*) AS total FROM conversations c WHERE {which}", **binds)
    assert counted is not None
    total: int = counted["total"]
    return total


def _column(by: ListedBy, dialect: Dialect) -> str:
    """What the list is sorted by."""
    if by is not ListedBy.TITLE:
        return f"c.{by}"
    # Under any other collation PostgreSQL has its own idea of what comes first, and of case.
    collation = ' COLLATE "C"' if dialect == "postgresql" else ""
    return f"lower(COALESCE(c.title, ''){collation})"


def _cursor(last: Conversation, by: ListedBy, total: int) -> Cursor:
    """The same of one that was listed; of bytes `lower` changes ASCII letters alone."""
    place: dict[ListedBy, int | str] = {
        ListedBy.UPDATED_AT: last.updated_at,
        ListedBy.CREATED_AT: last.created_at,
        ListedBy.TITLE: (last.title or "").encode().lower().decode(),
    }
    return Cursor(place[by], last.id, total)
