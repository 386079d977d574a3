"""The tree of a conversation's messages: one is the child of what it was said to.

No way through it costs a query per message: up or down, it is one recursive query.
"""

from collections import defaultdict

from protocol.types import Role
from storage.errors import NotFound
from storage.records import Said, Thread
from storage.sql import rows
from storage.sql.database import Connection, Row
from storage.values import Owner


async def leaf_of(c: Connection, owner: Owner, conversation: str) -> str | None:
    """Where the active branch of the owner's conversation ends."""
    row = await c.one(
        """
        SELECT leaf FROM conversations
        WHERE tenant = :tenant AND id = :id AND owner = :owner AND deleted_at IS NULL
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=conversation,
    )
    if row is None:
        raise NotFound("conversation", conversation)
    leaf: str | None = row["leaf"]
    return leaf


async def owned_message(c: Connection, owner: Owner, message: str, what: str = "message") -> Row:
    """The owner's message: its conversation, parent and role, which never change."""
    row = await c.one(
        """
        SELECT m.id, m.conversation, m.parent, m.role FROM messages m
        JOIN conversations c ON c.tenant = m.tenant AND c.id = m.conversation
        WHERE m.tenant = :tenant AND m.id = :id AND c.owner = :owner AND c.deleted_at IS NULL
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=message,
    )
    if row is None:
        raise NotFound(what, message)
    return row


async def message_of(c: Connection, owner: Owner, conversation: str, message: str) -> Row:
    """The owner's message, if it is of that conversation."""
    row = await owned_message(c, owner, message)
    if row["conversation"] != conversation:
        raise NotFound("message", message)
    return row


async def newest_of(
    c: Connection,
    owner: Owner,
    conversation: str,
    leaf: str | None,
    before: str | None,
    *,
    known: bool,
) -> str | None:
    """The page's last message; None if there is none. A `known` leaf need not be looked up."""
    if before is None:
        if leaf is not None and not known:
            await message_of(c, owner, conversation, leaf)
        return leaf
    parent: str | None = (await message_of(c, owner, conversation, before))["parent"]
    return parent


async def newest_below(c: Connection, tenant: str, conversation: str, message: str) -> str:
    """The leaf that the newest child of each message leads to; itself where it has none."""
    found = await c.one(
        """
        WITH RECURSIVE branch (id, depth) AS (
            SELECT CAST(:message AS TEXT), 0
            UNION ALL
            SELECT (
                SELECT m.id FROM messages m
                WHERE m.tenant = :tenant AND m.conversation = :conversation AND m.parent = b.id
                ORDER BY m.number DESC LIMIT 1
            ), b.depth + 1
            FROM branch b WHERE b.id IS NOT NULL
        )
        SELECT said.id FROM branch said WHERE said.id IS NOT NULL ORDER BY said.depth DESC LIMIT 1
        """,
        tenant=tenant,
        conversation=conversation,
        message=message,
    )
    assert found is not None
    leaf: str = found["id"]
    return leaf


async def path(c: Connection, tenant: str, leaf: str | None) -> tuple[str, ...]:
    """The ids of the branch that ends there, from its root; of none, none."""
    found = await c.all(
        """
        WITH RECURSIVE said (id, parent, depth) AS (
            SELECT m.id, m.parent, 0 FROM messages m
            WHERE m.tenant = :tenant AND m.id = :leaf
            UNION ALL
            SELECT m.id, m.parent, said.depth + 1
            FROM said JOIN messages m ON m.tenant = :tenant AND m.id = said.parent
        )
        SELECT id FROM said ORDER BY depth DESC
        """,
        tenant=tenant,
        leaf=leaf,
    )
    return tuple(row["id"] for row in found)


async def ancestors(
    c: Connection, owner: Owner, conversation: str, newest: str, limit: int
) -> list[Row]:
    """At most `limit` messages of the branch that ends in `newest`, oldest first."""
    return await c.all(
        f"""
        WITH RECURSIVE branch AS (
            SELECT m.*, c.owner AS user_id, 1 AS depth
            FROM messages m JOIN conversations c ON c.tenant = m.tenant AND c.id = m.conversation
            WHERE m.tenant = :tenant AND m.id = :newest AND m.conversation = :conversation
                AND c.owner = :owner AND c.deleted_at IS NULL
            UNION ALL
            SELECT m.*, b.user_id, b.depth + 1
            FROM branch b JOIN messages m ON m.tenant = :tenant AND m.id = b.parent
            WHERE b.depth < :limit
        )
        SELECT {rows.MESSAGE_COLUMNS} FROM branch said {rows.MESSAGE_JOINS} ORDER BY said.depth DESC
        """,
        tenant=owner.tenant,
        owner=owner.user,
        conversation=conversation,
        newest=newest,
        limit=limit,
    )


async def thread(c: Connection, tenant: str, conversation: str, leaf: str, *, limit: int) -> Thread:
    """The last messages that end in `leaf`, bare: one statement, for it is run for every answer."""
    found = await c.all(
        """
        WITH RECURSIVE said (parent, role, content, model, system_prompt, depth) AS (
            SELECT m.parent, m.role, m.content, c.model, c.system_prompt, 0
            FROM conversations c JOIN messages m
                ON m.tenant = c.tenant AND m.conversation = c.id AND m.id = :leaf
            WHERE c.tenant = :tenant AND c.id = :conversation
            UNION ALL
            SELECT m.parent, m.role, m.content, NULL, NULL, said.depth + 1
            FROM said JOIN messages m ON m.tenant = :tenant AND m.id = said.parent
            WHERE said.depth < :most
        )
        SELECT role, content, model, system_prompt FROM said ORDER BY depth DESC
        """,
        tenant=tenant,
        conversation=conversation,
        leaf=leaf,
        most=limit,  # one more than is wanted tells whether there are more
    )
    if not found:
        raise NotFound("message", leaf)
    shown = found[-limit:]
    return Thread(
        messages=tuple(Said(role=Role(row["role"]), content=row["content"]) for row in shown),
        more=len(found) > limit,
        model=found[-1]["model"],
        system_prompt=found[-1]["system_prompt"],
    )


async def siblings(
    c: Connection, tenant: str, conversation: str, parents: set[str | None]
) -> dict[str | None, tuple[str, ...]]:
    """The children of each of these parents, oldest first; None is the parent of the roots."""
    found: list[Row] = []
    if parents - {None}:
        found = await c.all(
            f"""
            SELECT m.parent, m.id FROM messages m
            WHERE m.tenant = :tenant AND m.conversation = :conversation
                AND m.parent IN {rows.among(c, "parents")}
            ORDER BY +m.number -- else SQLite would read the whole conversation in that order
            """,
            tenant=tenant,
            conversation=conversation,
            parents=rows.ids(parent for parent in parents if parent is not None),
        )
    if None in parents:
        found += await c.all(
            """
            SELECT parent, id FROM messages
            WHERE tenant = :tenant AND conversation = :conversation AND parent IS NULL
            ORDER BY number
            """,
            tenant=tenant,
            conversation=conversation,
        )
    family: dict[str | None, list[str]] = defaultdict(list)
    for row in found:
        family[row["parent"]].append(row["id"])
    return {parent: tuple(children) for parent, children in family.items()}
