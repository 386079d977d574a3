"""Expenses: each counted once, summed by whoever asks."""

import asyncio

from msgspec import structs

from storage.sql.usage import DAY_MS
from storage.values import Spent
from storage.work import Expense, SpentBy, SumBy, step_key
from tests.support.rows import DONE, World


def expense(key: str, **fields: str) -> Expense:
    call = Expense(key=key, feature="chat", model="m", provider="p", spent=Spent(10, 5, 7))
    return structs.replace(call, **fields)


async def test_an_expense_counts_once_however_often_it_is_recorded(world: World) -> None:
    """Also within one call and among many at once, for the conversation's sums too."""
    sent = await world.send()
    paid = [expense(step_key(sent.answer, 1, step)) for step in (1, 2, 2)]
    record = world.store.internal.usage.record
    await asyncio.gather(
        *(record(world.owner, paid, conversation=sent.conversation) for _ in range(20))
    )
    total = await world.store.usage.spent(world.owner, since=0)
    assert total == SpentBy(calls=2, spent=Spent(20, 10, 14))
    conversation = await world.store.conversations.get(world.owner, sent.conversation)
    assert conversation.spent == Spent(20, 10, 14)


async def test_recording_and_ending_do_not_wait_for_each_other_in_a_ring(world: World) -> None:
    """Both touch the expense and its conversation's sums; each takes the conversation first."""
    for _ in range(10):
        sent, held = await world.running()
        paid = expense(step_key(sent.answer, 1, 1), answer=sent.answer)
        before = world.db.ran - world.db.asked
        _, end = await asyncio.gather(
            world.store.internal.usage.record(world.owner, [paid], conversation=sent.conversation),
            world.store.internal.answers.end(held, structs.replace(DONE, expenses=(paid,))),
        )
        assert end.spent == paid.spent
        assert world.db.ran - world.db.asked == before, "a unit was repeated after a deadlock"


async def test_a_person_sees_what_was_spent_since_a_moment(world: World) -> None:
    """Their own, from that moment on."""
    record = world.store.internal.usage.record
    await record(world.owner, [expense("a")])
    world.clock.advance(1000)
    since = world.clock.now
    await record(world.owner, [expense("b")])
    await record(world.neighbour, [expense("c")])
    await record(world.foreigner, [expense("d")])
    assert (await world.store.usage.spent(world.owner, since=since)).calls == 1
    assert (await world.store.usage.spent(world.owner, since=since + 1)).calls == 0


async def test_sums_are_grouped_by_what_is_asked_for(world: World) -> None:
    """Owner, day, model and feature, in any combination; a span excludes its end."""
    record = world.store.internal.usage.record
    day = world.clock.now // DAY_MS
    start = world.clock.now
    await record(world.owner, [expense("a"), expense("b", model="n")])
    await record(world.neighbour, [expense("c", feature="title")])
    world.clock.advance(DAY_MS)
    await record(world.owner, [expense("d")])
    sums, one = world.store.internal.usage.sums, Spent(10, 5, 7)
    end = world.clock.now + 1
    (whole,) = await sums(world.tenant, [], since=start, until=end)
    assert whole == SpentBy(calls=4, spent=Spent(40, 20, 28))
    assert await sums(world.tenant, [SumBy.OWNER], since=start, until=end) == [
        SpentBy(owner="ann", calls=3, spent=Spent(30, 15, 21)),
        SpentBy(owner="bob", calls=1, spent=one),
    ]
    assert await sums(world.tenant, [SumBy.MODEL, SumBy.DAY], since=start, until=end - 1) == [
        SpentBy(day=day, model="m", calls=2, spent=Spent(20, 10, 14)),
        SpentBy(day=day, model="n", calls=1, spent=one),
    ]
    assert await sums(world.tenant, [SumBy.FEATURE], since=end, until=end + 1) == []
