"""What was consumed, each expense once: the sum of these rows is what everybody is shown."""

from collections.abc import Sequence

from msgspec import structs

from storage.sql import locking, rows
from storage.sql.database import Connection, Database
from storage.values import Owner, Spent
from storage.work import Expense, SpentBy, SumBy

DAY_MS = 86_400_000

SUMS = """
COUNT(*) AS calls,
CAST(COALESCE(SUM(prompt_tokens), 0) AS BIGINT) AS prompt_tokens,
CAST(COALESCE(SUM(completion_tokens), 0) AS BIGINT) AS completion_tokens,
CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) AS cost_nano
"""


# What a conversation adds to its own sums.
ADDED = """
prompt_tokens = prompt_tokens + :prompt_tokens,
completion_tokens = completion_tokens + :completion_tokens,
cost_nano = cost_nano + :cost_nano
"""


def added(new: Spent) -> dict[str, int]:
    """The binds of `ADDED`."""
    return structs.asdict(new)


async def insert(c: Connection, owner: Owner, expenses: Sequence[Expense], *, at: int) -> Spent:
    """Store expenses whose keys are new; the sum of those, which is the conversation's to add."""
    if not expenses:
        return Spent()
    new = await c.all(
        f"""
        INSERT INTO usage (tenant, key, owner, answer, feature, model, provider, prompt_tokens,
            completion_tokens, cost_nano, day, created_at)
        SELECT :tenant, item.value ->> 'key', :owner, item.value ->> 'answer',
            item.value ->> 'feature', item.value ->> 'model', item.value ->> 'provider',
            CAST(item.value ->> 'prompt_tokens' AS BIGINT),
            CAST(item.value ->> 'completion_tokens' AS BIGINT),
            CAST(item.value ->> 'cost_nano' AS BIGINT), :day, :at
        FROM {rows.each(c, "expenses")} WHERE true
        ON CONFLICT DO NOTHING
        RETURNING prompt_tokens, completion_tokens, cost_nano
        """,
        tenant=owner.tenant,
        owner=owner.user,
        day=at // DAY_MS,
        at=at,
        expenses=rows.objects(_columns(expense) for expense in expenses),
    )
    return Spent(
        sum(row["prompt_tokens"] for row in new),
        sum(row["completion_tokens"] for row in new),
        sum(row["cost_nano"] for row in new),
    )


async def of_answer(c: Connection, tenant: str, answer: str) -> Spent:
    """What it cost over all its attempts."""
    total = await c.one(
        f"SELECT {SUMS} FROM usage WHERE tenant = :tenant AND answer = :answer",
        tenant=tenant,
        answer=answer,
    )
    assert total is not None
    return rows.spent(total)


class SqlSpending:
    """See `storage.store.Spending`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def spent(self, owner: Owner, *, since: int) -> SpentBy:
        async def work(c: Connection) -> SpentBy:
            total = await c.one(
                f"""
                SELECT {SUMS} FROM usage
                WHERE tenant = :tenant AND owner = :owner AND created_at >= :since
                """,
                tenant=owner.tenant,
                owner=owner.user,
                since=since,
            )
            assert total is not None
            return SpentBy(calls=total["calls"], spent=rows.spent(total))

        return await self._db.read(work)


class SqlUsage:
    """See `storage.store.InternalUsage`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(
        self, owner: Owner, expenses: Sequence[Expense], *, conversation: str | None = None
    ) -> None:
        async def work(c: Connection) -> None:
            at = await rows.now(c)
            if conversation is not None:
                await locking.conversation(c, owner.tenant, conversation)
            new = await insert(c, owner, expenses, at=at)
            if conversation is not None:
                await c.run(
                    f"""
                    UPDATE conversations SET {ADDED} WHERE tenant = :tenant AND id = :id
                    """,
                    tenant=owner.tenant,
                    id=conversation,
                    **added(new),
                )

        await self._db.write(work)

    async def sums(
        self, tenant: str, by: Sequence[SumBy], *, since: int, until: int
    ) -> list[SpentBy]:
        # Column names come from this closed list, whatever was handed in.
        columns = ", ".join(name for name in SumBy if name in by)
        grouped = f"{columns}," if columns else ""
        group_by = f"GROUP BY {columns} ORDER BY {columns}" if columns else ""

        async def work(c: Connection) -> list[SpentBy]:
            found = await c.all(
                f"""
                SELECT {grouped} {SUMS} FROM usage
                WHERE tenant = :tenant AND created_at >= :since AND created_at < :until
                {group_by}
                """,
                tenant=tenant,
                since=since,
                until=until,
            )
            return [
                SpentBy(
                    calls=row["calls"], spent=rows.spent(row), **{name: row[name] for name in by}
                )
                for row in found
            ]

        return await self._db.read(work)


def _columns(expense: Expense) -> dict[str, str | int | None]:
    return {
        "key": expense.key,
        "answer": expense.answer,
        "feature": expense.feature,
        "model": expense.model,
        "provider": expense.provider,
        "prompt_tokens": expense.spent.prompt_tokens,
        "completion_tokens": expense.spent.completion_tokens,
        "cost_nano": expense.spent.cost_nano,
    }
