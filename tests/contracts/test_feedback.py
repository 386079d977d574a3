"""Opinions: one per reader and message, the last one said."""

import pytest

from storage.errors import Conflict, NotFound
from tests.support.rows import World


async def test_a_new_opinion_replaces_the_old_one_and_is_told_each_time(world: World) -> None:
    """By another id; the same id again changes and tells nothing."""
    sent = await world.exchange()
    save, once = world.store.feedback.save, world.once()
    first = await save(world.owner, once, sent.answer, rating="down", comment="why?")
    world.clock.advance(1)
    await save(world.owner, world.once(), sent.answer, rating="5")
    assert await save(world.owner, once, sent.answer, rating="down", comment="why?") == first
    message = await world.store.history.message(world.owner, sent.answer)
    assert message.feedback is not None
    assert (message.feedback.rating, message.feedback.comment) == ("5", None)
    assert await world.numbers(sent.conversation) == [1, 2, 3, 4, 5]


async def test_a_rating_is_a_thumb_or_one_to_five(world: World) -> None:
    """The schema holds the line, whoever forgot to."""
    sent = await world.exchange()
    with pytest.raises(Conflict):
        await world.store.feedback.save(world.owner, world.once(), sent.answer, rating="6")


async def test_reports_read_opinions_in_the_order_they_were_given(world: World) -> None:
    """Page by page."""
    given = []
    for _ in range(5):
        sent = await world.exchange()
        given.append(
            await world.store.feedback.save(world.owner, world.once(), sent.answer, rating="up")
        )
        world.clock.advance(10)
    since = world.store.internal.feedback.since
    first = await since(world.tenant, 0, limit=3)
    rest = await since(world.tenant, first[-1].updated_at, after=first[-1].message)
    assert [*first, *rest] == given
    assert await since(f"{world.tenant}-other", 0) == []


async def test_a_used_id_is_of_one_conversation(world: World) -> None:
    """Named with another one it is no message of that; named with none, or its own, it is known."""
    here, there = await world.exchange(), await world.exchange()
    save, once = world.store.feedback.save, world.once()
    saved = await save(world.owner, once, here.answer, rating="up", conversation=here.conversation)
    for conversation in (there.conversation, "c_none"):
        with pytest.raises(NotFound, match=here.answer):
            await save(world.owner, once, here.answer, rating="up", conversation=conversation)
    for named in (None, here.conversation):
        assert await save(world.owner, once, here.answer, rating="up", conversation=named) == saved
