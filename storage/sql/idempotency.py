"""Ids that clients mint: the first use of one does the work, every later one gets its result."""

from typing import TypeVar

import msgspec
from msgspec import Struct

from storage.errors import IdConflict
from storage.sql import rows
from storage.sql.database import Connection
from storage.values import Once, Owner

Result = TypeVar("Result", bound=Struct)


async def claim(
    c: Connection, owner: Owner, once: Once, result: type[Result]
) -> tuple[int, Result | None]:
    """The time of the id's first use, and what that resulted in; None: it is this unit's now.

    It comes before every other statement of a unit. A second user of the id waits here for the
    first to commit, and takes its place if the first rolled back. The result's tag keeps apart
    ids used for different things, and outlives the names of our classes.
    """
    mine = await c.one(
        f"""
        INSERT INTO idempotency (tenant, owner, id, kind, body, created_at)
        VALUES (:tenant, :owner, :id, :kind, :body, {c.clock})
        ON CONFLICT DO NOTHING
        RETURNING created_at
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=once.id,
        kind=_kind(result),
        body=once.body,
    )
    if mine is not None:
        return mine["created_at"], None
    used = await _used(c, owner, once, result)
    if used is None:
        raise IdConflict(once.id)
    return used


async def recall(c: Connection, owner: Owner, once: Once, result: type[Result]) -> Result | None:
    """What the id's first use resulted in; None: nobody used it yet."""
    used = await _used(c, owner, once, result)
    return None if used is None else used[1]


async def settle(c: Connection, owner: Owner, once: Once, result: Struct) -> None:
    """Keep what the id stands for from now on."""
    await c.run(
        """
        UPDATE idempotency SET result = :result
        WHERE tenant = :tenant AND owner = :owner AND id = :id
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=once.id,
        result=rows.text(result),
    )


def _kind(result: type[Struct]) -> str:
    tag = result.__struct_config__.tag
    assert isinstance(tag, str), f"what an id is kept for needs a tag: {result.__name__}"
    return tag


async def _used(
    c: Connection, owner: Owner, once: Once, result: type[Result]
) -> tuple[int, Result] | None:
    row = await c.one(
        """
        SELECT kind, body, result, created_at FROM idempotency
        WHERE tenant = :tenant AND owner = :owner AND id = :id
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=once.id,
    )
    if row is None:
        return None
    if (row["kind"], row["body"]) != (_kind(result), once.body):
        raise IdConflict(once.id)
    return row["created_at"], msgspec.json.decode(row["result"], type=result)
