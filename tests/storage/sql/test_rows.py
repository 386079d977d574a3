"""Values on their way into columns and back."""

import pytest
from msgspec import Raw

from protocol.types import Usage
from storage.sql import Connection, Database, Row, rows
from storage.values import Spent


async def test_each_object_of_a_list_is_a_row_with_its_fields(db: Database) -> None:
    """The same on every engine: text as it was, numbers by CAST, null as NULL."""
    objects: list[dict[str, str | int | None]] = [
        {"name": "a 'quoted' \\ \n 👋 %s :x", "n": 2**53 - 1, "none": None},
        {"name": "", "n": -1, "none": None},
    ]

    async def work(c: Connection) -> list[Row]:
        return await c.all(
            f"""
            SELECT item.value ->> 'name' AS name, CAST(item.value ->> 'n' AS BIGINT) AS n,
                item.value ->> 'none' AS none, item.value ->> 'absent' AS absent
            FROM {rows.each(c, "list")}
            """,
            list=rows.objects(objects),
        )

    found = await db.read(work)
    assert [dict(row) for row in found] == [{**one, "absent": None} for one in objects]


async def test_an_empty_list_has_no_rows(db: Database) -> None:
    """So a batch of nothing does nothing."""
    found = await db.read(
        lambda c: c.all(f"SELECT 1 AS one FROM {rows.each(c, 'list')}", list=rows.ids([]))
    )
    assert found == []


async def test_now_is_the_databases_time(db: Database) -> None:
    """Milliseconds, and it does not run backwards."""
    first, second = await db.read(rows.now), await db.read(rows.now)
    assert 1_700_000_000_000 < first <= second


def test_json_is_carried_as_it_was() -> None:
    """Nothing looks into it."""
    column = rows.text(Raw(b'{"b": 1, "a":[1.50]}'))
    assert (column, rows.raw(column)) == ('{"b": 1, "a":[1.50]}', Raw(b'{"b": 1, "a":[1.50]}'))
    assert (rows.optional_text(None), rows.optional_raw(None)) == (None, None)


@pytest.mark.parametrize(("nano", "usd"), [(0, 0.0), (1, 1e-9), (1_500_000_000, 1.5)])
def test_money_becomes_dollars_at_the_edge(nano: int, usd: float) -> None:
    """Whole nano-dollars inside, so that sums are exact."""
    assert Spent(1, 2, nano).usage() == Usage(
        prompt_tokens=1, completion_tokens=2, total_tokens=3, cost_usd=usd
    )
