"""The audit trail: complete, in order, and true or visibly not."""

import asyncio

import pytest
from msgspec import Raw

from storage.accounts import Act
from storage.errors import StorageError
from tests.support.rows import World

ACT = Act(actor="ann", action="user.disable", object="bob", detail=Raw(b'{"why":"spam"}'))
SWITCH_OFF = {
    "sqlite": ["DROP TRIGGER audit_is_never_updated", "DROP TRIGGER audit_is_never_deleted"],
    "postgresql": [
        "ALTER TABLE audit DISABLE TRIGGER audit_is_never_changed",
        "ALTER TABLE audit DISABLE TRIGGER audit_is_never_emptied",
    ],
}
SWITCH_ON = {
    "sqlite": [
        """CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
        """CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    ],
    "postgresql": [
        "ALTER TABLE audit ENABLE TRIGGER audit_is_never_changed",
        "ALTER TABLE audit ENABLE TRIGGER audit_is_never_emptied",
    ],
}


async def tamper(world: World, sql: str) -> None:
    """Change the trail as somebody with all rights could."""
    for statement in SWITCH_OFF[world.db.dialect]:
        await world.run(statement)
    await world.run(sql, tenant=world.tenant)
    for statement in SWITCH_ON[world.db.dialect]:
        await world.run(statement)


async def test_acts_are_chained_in_order(world: World) -> None:
    """Each names the one before; a tenant's chain is its own."""
    audit = world.store.internal.audit
    assert [await audit.append(world.tenant, ACT) for _ in range(3)] == [1, 2, 3]
    assert await audit.append(f"{world.tenant}-other", ACT) == 1
    entries = await audit.entries(world.tenant)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries] == ["", entries[0].hash, entries[1].hash]
    assert (entries[0].action, entries[0].object, entries[0].detail) == (
        "user.disable",
        "bob",
        ACT.detail,
    )
    assert await audit.entries(world.tenant, after=2) == entries[2:]
    assert await audit.verify(world.tenant) is None


async def test_racing_acts_make_one_chain(world: World) -> None:
    """Without a hole and without a fork."""
    audit = world.store.internal.audit
    numbers = await asyncio.gather(*(audit.append(world.tenant, ACT) for _ in range(100)))
    assert sorted(numbers) == list(range(1, 101))
    assert await audit.verify(world.tenant) is None


async def test_the_schema_lets_nobody_rewrite_the_trail(world: World) -> None:
    """Neither change nor delete, nor empty the table where that is another word."""
    await world.store.internal.audit.append(world.tenant, ACT)
    statements = ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"]
    if world.db.dialect == "postgresql":
        statements.append("TRUNCATE audit")
    else:
        statements.append("INSERT OR REPLACE INTO audit SELECT * FROM audit")
    for statement in statements:
        with pytest.raises(StorageError):
            await world.run(statement)
    assert await world.store.internal.audit.verify(world.tenant) is None


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET action = 'nothing' WHERE tenant = :tenant AND number = 2", 2),
        ("UPDATE audit SET created_at = 0 WHERE tenant = :tenant AND number = 1", 1),
        ("UPDATE audit SET hash = 'x' WHERE tenant = :tenant AND number = 3", 3),
        ("DELETE FROM audit WHERE tenant = :tenant AND number = 2", 2),
        ("DELETE FROM audit WHERE tenant = :tenant AND number = 3", 3),
        ("DELETE FROM audit WHERE tenant = :tenant", 1),
    ],
)
async def test_what_was_changed_behind_its_back_is_found(
    world: World, change: str, broken: int
) -> None:
    """The first link that is not what was written, a missing end included."""
    for _ in range(3):
        await world.store.internal.audit.append(world.tenant, ACT)
    await tamper(world, change)
    assert await world.store.internal.audit.verify(world.tenant) == broken


async def test_a_forgotten_person_leaves_a_pseudonym_and_a_whole_chain(world: World) -> None:
    """Their id stands nowhere in the trail; afterwards they are somebody new."""
    audit = world.store.internal.audit
    await audit.append(world.tenant, ACT)
    await audit.append(world.tenant, ACT)
    first, second = await audit.entries(world.tenant)
    assert (first.person, first.actor == second.actor) == ("ann", True)
    await audit.forget(world.tenant, "ann")
    await audit.append(world.tenant, ACT)
    entries = await audit.entries(world.tenant)
    assert [entry.person for entry in entries] == [None, None, "ann"]
    assert entries[2].actor != first.actor
    assert await audit.verify(world.tenant) is None
    found = await world.rows(
        "SELECT * FROM audit WHERE tenant = :tenant AND number < 3", tenant=world.tenant
    )
    assert "ann" not in str(found).replace(world.tenant, "")
