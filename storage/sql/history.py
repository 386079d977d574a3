"""Reading what was said: messages, unfinished answers, rows for the log.

Nothing here costs a query per message: siblings and tool calls of any number of them are one each.
"""

from collections import defaultdict
from collections.abc import Sequence

from protocol.types import Position
from storage.errors import NotFound
from storage.records import (
    Answer,
    Branch,
    Conversation,
    Ended,
    Message,
    Snapshot,
    Standing,
    ToolCall,
    Unfinished,
)
from storage.sql import rows, tree
from storage.sql.database import Connection, Database, Row
from storage.values import Owner

CONVERSATIONS = """
SELECT c.*, COALESCE(
    NULLIF(substr(newest.content, 1, 200), ''), substr(asked.content, 1, 200)) AS last_message
FROM conversations c
LEFT JOIN messages newest ON newest.tenant = c.tenant AND newest.id = c.leaf
LEFT JOIN messages asked ON asked.tenant = c.tenant AND asked.id = newest.parent
"""

ANSWERS = """
SELECT a.*, c.owner AS user_id
FROM answers a JOIN conversations c ON c.tenant = a.tenant AND c.id = a.conversation
"""

# A tool call that a person or a client still has to do something about; `t` is its row.
WAITING = """
(t.state = 'awaiting_approval' OR t.state = 'requested' AND t.origin = 'client')
"""


async def owned(c: Connection, owner: Owner, conversation: str) -> Row:
    """The owner's conversation; a stranger's, a deleted and a missing one are all not there."""
    row = await c.one(
        f"""
        {CONVERSATIONS}
        WHERE c.tenant = :tenant AND c.id = :id AND c.owner = :owner AND c.deleted_at IS NULL
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=conversation,
    )
    if row is None:
        raise NotFound("conversation", conversation)
    return row


async def conversation(c: Connection, tenant: str, id: str) -> Conversation:
    """Whosoever it is, deleted or not."""
    row = await c.one(
        f"{CONVERSATIONS} WHERE c.tenant = :tenant AND c.id = :id", tenant=tenant, id=id
    )
    if row is None:
        raise NotFound("conversation", id)
    return rows.conversation(row)


async def messages(c: Connection, tenant: str, ids: Sequence[str]) -> list[Message]:
    """Whosoever they are, in no order."""
    if not ids:
        return []
    found = await c.all(
        f"""
        WITH found AS (
            SELECT m.*, c.owner AS user_id FROM messages m
            JOIN conversations c ON c.tenant = m.tenant AND c.id = m.conversation
            WHERE m.tenant = :tenant AND m.id IN {rows.among(c, "ids")}
        )
        SELECT {rows.MESSAGE_COLUMNS} FROM found said {rows.MESSAGE_JOINS}
        """,
        tenant=tenant,
        ids=rows.ids(ids),
    )
    by_conversation = defaultdict(list)
    for row in found:
        by_conversation[row["conversation"]].append(row)
    return [
        message
        for one, said in by_conversation.items()
        for message in await _whole(c, tenant, one, said)
    ]


async def ends(c: Connection, tenant: str, ids: Sequence[str]) -> list[Ended]:
    """How these answers ended, in no order."""
    if not ids:
        return []
    found = await c.all(
        f"""
        SELECT a.* FROM answers a
        WHERE a.tenant = :tenant AND a.id IN {rows.among(c, "ids")} AND a.state = 'ended'
        """,
        tenant=tenant,
        ids=rows.ids(ids),
    )
    return [rows.ended(row) for row in found]


async def tool_calls(
    c: Connection, tenant: str, answers: Sequence[str]
) -> dict[str, tuple[ToolCall, ...]]:
    """The calls of these answers, in the order they were asked for."""
    by_answer: dict[str, tuple[ToolCall, ...]] = defaultdict(tuple)
    if answers:
        found = await c.all(
            f"""
            SELECT t.* FROM tool_calls t
            WHERE t.tenant = :tenant AND t.answer IN {rows.among(c, "ids")}
            ORDER BY t.answer, t.created_at, t.id
            """,
            tenant=tenant,
            ids=rows.ids(answers),
        )
        for row in found:
            by_answer[row["answer"]] += (rows.tool_call(row),)
    return by_answer


async def unfinished(c: Connection, tenant: str, conversation: str) -> list[Unfinished]:
    """Answers that have not ended, in the order they run, with what was checkpointed."""
    answers = await c.all(
        f"""
        {ANSWERS}
        WHERE a.tenant = :tenant AND a.conversation = :conversation AND a.state <> 'ended'
        ORDER BY a.number
        """,
        tenant=tenant,
        conversation=conversation,
    )
    written = [row["id"] for row in answers if row["length"]]
    texts = await pieces(c, tenant, written)
    calls = await tool_calls(c, tenant, [row["id"] for row in answers])
    return [
        Unfinished(
            answer=rows.answer(row),
            text=texts.get(row["id"], ""),
            citations=rows.raw(row["citations"]),
            tools=calls[row["id"]],
        )
        for row in answers
    ]


async def pieces(c: Connection, tenant: str, answers: Sequence[str]) -> dict[str, str]:
    """The text that each of these answers has stored so far."""
    if not answers:
        return {}
    parts = await c.all(
        f"""
        SELECT p.answer, p.text FROM pieces p
        WHERE p.tenant = :tenant AND p.answer IN {rows.among(c, "ids")}
        ORDER BY p.answer, p.start
        """,
        tenant=tenant,
        ids=rows.ids(answers),
    )
    texts = defaultdict(list)
    for row in parts:
        texts[row["answer"]].append(row["text"])
    return {answer: "".join(text) for answer, text in texts.items()}


class SqlHistory:
    """See `storage.store.History`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def branch(
        self,
        owner: Owner,
        conversation: str,
        *,
        leaf: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Branch:
        async def work(c: Connection) -> Branch:
            return await _branch(c, owner, conversation, limit=limit, leaf=leaf, before=before)

        return await self._db.read(work)

    async def path(
        self, owner: Owner, conversation: str, *, leaf: str | None = None
    ) -> tuple[str, ...]:
        async def work(c: Connection) -> tuple[str, ...]:
            active = await tree.leaf_of(c, owner, conversation)
            if leaf is not None and leaf != active:
                await tree.message_of(c, owner, conversation, leaf)
            return await tree.path(c, owner.tenant, leaf or active)

        return await self._db.read(work)

    async def made(
        self, owner: Owner, conversation: str, *, after: int = 0, limit: int = 50
    ) -> tuple[Message, ...]:
        async def work(c: Connection) -> tuple[Message, ...]:
            await tree.leaf_of(c, owner, conversation)
            found = await c.all(
                f"""
                WITH made AS (
                    SELECT m.*, CAST(:owner AS TEXT) AS user_id FROM messages m
                    WHERE m.tenant = :tenant AND m.conversation = :conversation
                        AND m.number > :after
                    ORDER BY m.number LIMIT :limit
                )
                SELECT {rows.MESSAGE_COLUMNS} FROM made said {rows.MESSAGE_JOINS}
                ORDER BY said.number
                """,
                tenant=owner.tenant,
                owner=owner.user,
                conversation=conversation,
                after=after,
                limit=limit,
            )
            return tuple(await _whole(c, owner.tenant, conversation, found))

        return await self._db.read(work)

    async def snapshot(self, owner: Owner, conversation: str, *, limit: int = 50) -> Snapshot:
        async def work(c: Connection) -> Snapshot:
            branch = await _branch(c, owner, conversation, limit=limit)
            alive = await unfinished(c, owner.tenant, conversation)
            return Snapshot(branch=branch, unfinished=tuple(alive))

        return await self._db.read(work)

    async def standing(self, owner: Owner, conversation: str, at: Position) -> Standing:
        found = await self._db.look(
            """
            SELECT c.leaf, c.commits, c.owner AS user_id, a.*,
                CASE WHEN a.epoch = :epoch AND a.seq > :seq THEN (
                    SELECT MIN(p.start) FROM pieces p
                    WHERE p.tenant = a.tenant AND p.answer = a.id
                        AND p.epoch = :epoch AND p.seq > :seq) END AS later
            FROM conversations c LEFT JOIN answers a
                ON a.tenant = c.tenant AND a.conversation = c.id AND a.state <> 'ended'
            WHERE c.tenant = :tenant AND c.id = :id AND c.owner = :owner
                AND c.deleted_at IS NULL
            ORDER BY a.number
            """,
            tenant=owner.tenant,
            owner=owner.user,
            id=conversation,
            epoch=at.epoch,
            seq=at.seq,
        )
        if not found:
            raise NotFound("conversation", conversation)
        first, alive = found[0], [row for row in found if row["id"] is not None]
        lengths = {r["id"]: r["length"] if r["later"] is None else r["later"] for r in alive}
        return Standing(
            leaf=first["leaf"],
            commits=first["commits"],
            unfinished=tuple(rows.answer(row) for row in alive),
            stored={answer: length for answer, length in lengths.items() if length},
        )

    async def message(self, owner: Owner, message: str) -> Message:
        async def work(c: Connection) -> Message:
            await tree.owned_message(c, owner, message)
            return (await messages(c, owner.tenant, [message]))[0]

        return await self._db.read(work)

    async def answer(self, owner: Owner, answer: str) -> Answer:
        async def work(c: Connection) -> Answer:
            row = await c.one(
                f"""
                {ANSWERS}
                WHERE a.tenant = :tenant AND a.id = :id AND c.owner = :owner
                    AND c.deleted_at IS NULL
                """,
                tenant=owner.tenant,
                owner=owner.user,
                id=answer,
            )
            if row is None:
                raise NotFound("answer", answer)
            return rows.answer(row)

        return await self._db.read(work)

    async def answer_to(self, owner: Owner, message: str) -> Answer | None:
        async def work(c: Connection) -> Answer | None:
            place = await tree.owned_message(c, owner, message)
            row = await c.one(
                f"""
                {ANSWERS}
                WHERE a.tenant = :tenant AND a.conversation = :conversation AND a.parent = :message
                ORDER BY a.number DESC LIMIT 1
                """,
                tenant=owner.tenant,
                conversation=place["conversation"],
                message=message,
            )
            return None if row is None else rows.answer(row)

        return await self._db.read(work)


async def _branch(
    c: Connection,
    owner: Owner,
    conversation: str,
    *,
    limit: int,
    leaf: str | None = None,
    before: str | None = None,
) -> Branch:
    active = await tree.leaf_of(c, owner, conversation)
    end = leaf or active
    newest = await tree.newest_of(c, owner, conversation, end, before, known=end == active)
    if newest is None:
        return Branch(leaf=end, messages=(), more=False)
    said = await tree.ancestors(c, owner, conversation, newest, limit + 1)
    newest_of_them = said[max(0, len(said) - limit) :]
    whole = await _whole(c, owner.tenant, conversation, newest_of_them)
    return Branch(leaf=end, messages=tuple(whole), more=len(said) > limit)


async def _whole(
    c: Connection, tenant: str, conversation: str, said: Sequence[Row]
) -> list[Message]:
    """Messages of one conversation with their siblings and tool calls, in the order given."""
    family = await tree.siblings(c, tenant, conversation, {row["parent"] for row in said})
    calls = await tool_calls(c, tenant, [row["id"] for row in said if row["state"] is not None])
    return [rows.message(row, family[row["parent"]], calls[row["id"]]) for row in said]
