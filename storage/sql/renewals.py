"""Visitors' renewal secrets."""

from storage.accounts import NewRenewal, Renewal, Rotation
from storage.sql import rows
from storage.sql.database import Connection, Database, Row


class SqlRenewals:
    """See `storage.store.Renewals`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, new: NewRenewal, *, life_ms: int) -> Renewal:
        async def work(c: Connection) -> Renewal:
            at = await rows.now(c)
            row = await c.one(
                """
                INSERT INTO renewals (family, tenant, visitor, site, origin, hash, rotated_at,
                    expires_at, created_at)
                VALUES (:family, :tenant, :visitor, :site, :origin, :hash, :at, :until, :at)
                RETURNING *
                """,
                family=new.family,
                tenant=new.tenant,
                visitor=new.visitor,
                site=new.site,
                origin=new.origin,
                hash=new.hash,
                at=at,
                until=at + life_ms,
            )
            assert row is not None
            return _renewal(row)

        return await self._db.write(work)

    async def rotate(
        self, shown: NewRenewal, *, next: str, life_ms: int, grace_ms: int
    ) -> tuple[Rotation, Renewal | None]:
        async def work(c: Connection) -> tuple[Rotation, Renewal | None]:
            at = await rows.now(c)
            row = await c.one(
                """
                UPDATE renewals
                SET hash = :next, previous_hash = :used, rotated_at = :at, expires_at = :until
                WHERE family = :family AND hash = :used AND tenant = :tenant AND site = :site
                    AND origin = :origin AND expires_at > :at
                RETURNING *
                """,
                next=next,
                used=shown.hash,
                at=at,
                until=at + life_ms,
                family=shown.family,
                tenant=shown.tenant,
                site=shown.site,
                origin=shown.origin,
            )
            if row is not None:
                return Rotation.GRANTED, _renewal(row)
            return await _repeated(c, shown, at, at - grace_ms)

        return await self._db.write(work)

    async def prune(self) -> None:
        async def work(c: Connection) -> None:
            await c.run("DELETE FROM renewals WHERE expires_at <= :at", at=await rows.now(c))

        await self._db.write(work)


async def _repeated(
    c: Connection, shown: NewRenewal, at: int, since: int
) -> tuple[Rotation, Renewal | None]:
    """What it means that the secret shown is not the current one of any family that fits."""
    row = await c.one(
        f"""
        SELECT * FROM renewals
        WHERE family = :family AND tenant = :tenant AND site = :site AND origin = :origin
            AND expires_at > :at
        {c.for_update}
        """,
        family=shown.family,
        tenant=shown.tenant,
        site=shown.site,
        origin=shown.origin,
        at=at,
    )
    if row is None:
        return Rotation.UNKNOWN, None
    if row["previous_hash"] == shown.hash and row["rotated_at"] > since:
        return Rotation.GRANTED, _renewal(row)
    await c.run("DELETE FROM renewals WHERE family = :family", family=shown.family)
    return Rotation.REPLAYED, _renewal(row)


def _renewal(row: Row) -> Renewal:
    return Renewal(tenant=row["tenant"], visitor=row["visitor"], expires_at=row["expires_at"])
