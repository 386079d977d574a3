"""The audit trail: one chain of hashes per tenant, which the schema lets nobody rewrite.

An entry's hash covers the entry and the hash before it, and the head keeps the last, so a changed,
missing or cut-off entry shows. Actors stand in it under a random pseudonym. Forgetting a person
removes the row that resolves it, and every hash stays true.
"""

from hashlib import sha256

import msgspec

from storage.accounts import Act, AuditEntry
from storage.ids import Ids, Kind
from storage.sql import rows
from storage.sql.database import Connection, Database, Row

START = ""
PAGE = 500


async def append(c: Connection, ids: Ids, tenant: str, act: Act, *, at: int) -> int:
    """Write down what this unit does; the entry's number."""
    actor = await _pseudonym(c, ids, tenant, act.actor)
    head = await c.one(
        """
        INSERT INTO audit_heads (tenant, number, hash) VALUES (:tenant, 1, :start)
        ON CONFLICT (tenant) DO UPDATE SET number = audit_heads.number + 1
        RETURNING number, hash
        """,
        tenant=tenant,
        start=START,
    )
    assert head is not None
    number: int = head["number"]
    entry = {
        "tenant": tenant,
        "number": number,
        "actor": actor,
        "action": act.action,
        "object": act.object,
        "detail": rows.text(act.detail),
        "created_at": at,
        "previous": head["hash"],
    }
    link = _hash(entry)
    await c.run(
        """
        INSERT INTO audit (tenant, number, actor, action, object, detail, created_at, previous,
            hash)
        VALUES (:tenant, :number, :actor, :action, :object, :detail, :created_at, :previous,
            :hash)
        """,
        **entry,
        hash=link,
    )
    await c.run(
        "UPDATE audit_heads SET hash = :hash WHERE tenant = :tenant", tenant=tenant, hash=link
    )
    return number


class SqlAudit:
    """See `storage.store.Audit`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    async def append(self, tenant: str, act: Act) -> int:
        async def work(c: Connection) -> int:
            return await append(c, self._ids, tenant, act, at=await rows.now(c))

        return await self._db.write(work)

    async def entries(self, tenant: str, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
        async def work(c: Connection) -> list[AuditEntry]:
            found = await _page(c, tenant, after, limit)
            return [_entry(row) for row in found]

        return await self._db.read(work)

    async def verify(self, tenant: str) -> int | None:
        async def work(c: Connection) -> int | None:
            number, link = 0, START
            while page := await _page(c, tenant, number, PAGE):
                for row in page:
                    number += 1
                    if row["number"] != number or row["previous"] != link:
                        return number
                    link = row["hash"]
                    if _hash(row) != link:
                        return number
            head = await c.one(
                "SELECT number, hash FROM audit_heads WHERE tenant = :tenant", tenant=tenant
            )
            end = (0, START) if head is None else (head["number"], head["hash"])
            return None if end == (number, link) else number + 1

        return await self._db.read(work)

    async def forget(self, tenant: str, person: str) -> None:
        async def work(c: Connection) -> None:
            await c.run(
                "DELETE FROM pseudonyms WHERE tenant = :tenant AND person = :person",
                tenant=tenant,
                person=person,
            )

        await self._db.write(work)


async def _pseudonym(c: Connection, ids: Ids, tenant: str, person: str) -> str:
    row = await c.one(
        """
        INSERT INTO pseudonyms (tenant, person, pseudonym) VALUES (:tenant, :person, :new)
        ON CONFLICT (tenant, person) DO UPDATE SET person = :person
        RETURNING pseudonym
        """,
        tenant=tenant,
        person=person,
        new=ids(Kind.PSEUDONYM),
    )
    assert row is not None
    pseudonym: str = row["pseudonym"]
    return pseudonym


async def _page(c: Connection, tenant: str, after: int, limit: int) -> list[Row]:
    return await c.all(
        """
        SELECT e.*, p.person FROM audit e
        LEFT JOIN pseudonyms p ON p.tenant = e.tenant AND p.pseudonym = e.actor
        WHERE e.tenant = :tenant AND e.number > :after
        ORDER BY e.number LIMIT :limit
        """,
        tenant=tenant,
        after=after,
        limit=limit,
    )


def _hash(entry: Row) -> str:
    covered = ("tenant", "number", "actor", "action", "object", "detail", "created_at", "previous")
    return sha256(msgspec.json.encode([entry[name] for name in covered])).hexdigest()


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(
        number=row["number"],
        actor=row["actor"],
        person=row["person"],
        action=row["action"],
        object=row["object"],
        detail=rows.raw(row["detail"]),
        created_at=row["created_at"],
        previous=row["previous"],
        hash=row["hash"],
    )
