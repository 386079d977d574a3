"""Rows that a unit keeps to itself until it is over.

Always in this order, so that units never wait for each other in a ring: an id (`idempotency`), its
conversation, its answers in the order they run, their tool calls. What follows from holding a
conversation (commit numbers, messages, expenses) needs no lock of its own.
"""

from storage.errors import Fenced, NotFound
from storage.records import Held, RunState
from storage.sql.database import Connection, Row
from storage.values import Owner


async def owned_conversation(c: Connection, owner: Owner, id: str) -> str | None:
    """Nobody else numbers, sends or ends in the owner's conversation; its leaf."""
    row = await c.one(
        f"""
        SELECT leaf FROM conversations
        WHERE tenant = :tenant AND id = :id AND owner = :owner AND deleted_at IS NULL
        {c.for_update}
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=id,
    )
    if row is None:
        raise NotFound("conversation", id)
    leaf: str | None = row["leaf"]
    return leaf


async def conversation(c: Connection, tenant: str, id: str) -> Owner | None:
    """The same, whosoever it is."""
    row = await c.one(
        f"SELECT owner FROM conversations WHERE tenant = :tenant AND id = :id {c.for_update}",
        tenant=tenant,
        id=id,
    )
    return None if row is None else Owner(tenant, row["owner"])


async def answer(c: Connection, tenant: str, id: str) -> Row | None:
    """The answer as it is and stays."""
    return await c.one(
        f"SELECT * FROM answers WHERE tenant = :tenant AND id = :id {c.for_update}",
        tenant=tenant,
        id=id,
    )


async def held_answer(c: Connection, held: Held) -> Row:
    """The answer, if it runs and this fence owns it."""
    row = await answer(c, held.tenant, held.answer)
    if row is None or row["fence"] != held.fence or row["state"] != RunState.RUNNING:
        raise fenced(held)
    return row


async def unfinished(c: Connection, tenant: str, conversation: str) -> list[Row]:
    """The conversation's answers that have not ended, in the order they run."""
    return await c.all(
        f"""
        SELECT * FROM answers
        WHERE tenant = :tenant AND conversation = :conversation AND state <> 'ended'
        ORDER BY number {c.for_update}
        """,
        tenant=tenant,
        conversation=conversation,
    )


async def tool_call(c: Connection, tenant: str, id: str) -> Row | None:
    """The call as it is and stays."""
    return await c.one(
        f"SELECT * FROM tool_calls WHERE tenant = :tenant AND id = :id {c.for_update}",
        tenant=tenant,
        id=id,
    )


def fenced(held: Held) -> Fenced:
    """What a holder hears whose fence is not the answer's any more."""
    return Fenced(f"answer {held.answer!r}", held.fence)
