"""Conversations themselves: made once, listed newest first, changed with a commit, deleted."""

import asyncio

import pytest
from msgspec import Raw

from protocol.types import ConversationStatus
from storage.errors import NotFound
from storage.records import Change, NewConversation, Regenerate
from storage.values import Once
from tests.support.rows import REQUEST, World


async def test_a_conversation_is_made_once_per_id(world: World) -> None:
    """A hundred requests with the same id find the same conversation."""
    once, new = world.once(), NewConversation(title="t", metadata=Raw(b'{"a":1}'))
    made = await asyncio.gather(
        *(world.store.conversations.create(world.owner, once, new) for _ in range(100))
    )
    assert len({one.id for one in made}) == 1
    assert (made[0].title, made[0].metadata, made[0].leaf) == ("t", Raw(b'{"a":1}'), None)
    assert (await world.store.conversations.list(world.owner)).total == 1


async def test_conversations_are_listed_by_their_latest_change(world: World) -> None:
    """Page by page, without losing or repeating one; equal times are told apart by id."""
    sent = [await world.exchange(str(number)) for number in range(7)]
    world.clock.advance(1000)
    await world.exchange("again", conversation=sent[2].conversation)
    listed, after = [], None
    while True:
        page = await world.store.conversations.list(world.owner, after=after, limit=3)
        assert page.total == 7
        listed += [one.id for one in page.items]
        if page.next is None:
            break
        after = page.next
    rest = [one.conversation for number, one in enumerate(sent) if number != 2]
    assert listed == [sent[2].conversation, *reversed(rest)]


async def test_the_list_can_be_of_one_status(world: World) -> None:
    """And counts that status alone."""
    archived, _ = await world.exchange(), await world.exchange()
    change = Change(status=ConversationStatus.ARCHIVED)
    await world.store.conversations.change(world.owner, archived.conversation, change)
    page = await world.store.conversations.list(world.owner, status=ConversationStatus.ARCHIVED)
    assert ([one.id for one in page.items], page.total) == ([archived.conversation], 1)


async def test_a_conversation_shows_the_beginning_of_its_newest_text(world: World) -> None:
    """While the answer is empty, that is the question."""
    sent, held = await world.running("x" * 300)
    get = world.store.conversations.get
    assert (await get(world.owner, sent.conversation)).last_message == "x" * 200
    await world.end(held, "y")
    assert (await get(world.owner, sent.conversation)).last_message == "y"


async def test_a_change_touches_what_is_given_and_is_told(world: World) -> None:
    """Everything else stays; the log learns of it by a commit."""
    sent = await world.exchange()
    change = world.store.conversations.change
    await change(world.owner, sent.conversation, Change(title="a", summary="s"))
    changed = await change(world.owner, sent.conversation, Change(title="b", metadata=REQUEST))
    assert (changed.title, changed.summary, changed.metadata) == ("b", "s", REQUEST)
    assert changed.status is ConversationStatus.ACTIVE
    assert await world.numbers(sent.conversation) == [1, 2, 3, 4, 5]


async def test_selecting_a_branch_makes_it_the_active_one(world: World) -> None:
    """The next message continues it; the choice is told once."""
    first = await world.exchange()
    regenerate = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    second = await world.store.sending.regenerate(world.owner, regenerate)
    once, select = world.once(), world.store.conversations.select
    for _ in range(2):
        chosen = await select(world.owner, once, first.conversation, first.answer)
        assert chosen.leaf == first.answer
    assert await world.numbers(first.conversation) == [1, 2, 3, 4, 5]
    third = await world.send(conversation=first.conversation)
    assert (await world.store.history.message(world.owner, third.message)).parent == first.answer
    assert third.queued == 1
    assert second.answer != third.answer


async def test_a_message_within_a_branch_stands_for_its_newest_leaf(world: World) -> None:
    """Choosing an earlier answer brings back what was said below it, not an end in its middle."""
    first = await world.exchange()
    below = await world.exchange(conversation=first.conversation)
    regenerate = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=below.answer)
    newer = await world.store.sending.regenerate(world.owner, regenerate)
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    latest = await world.store.sending.regenerate(world.owner, again)
    select = world.store.conversations.select
    chosen = await select(world.owner, world.once(), first.conversation, first.answer)
    assert chosen.leaf == newer.answer
    chosen = await select(world.owner, world.once(), first.conversation, first.message)
    assert chosen.leaf == latest.answer


async def test_selecting_the_active_leaf_tells_nothing(world: World) -> None:
    """There is no change."""
    sent = await world.exchange()
    await world.store.conversations.select(
        world.owner, world.once(), sent.conversation, sent.answer
    )
    assert await world.numbers(sent.conversation) == [1, 2, 3]


async def test_a_leaf_must_be_of_the_conversation(world: World) -> None:
    """A refused choice leaves its id unused."""
    here, there = await world.exchange(), await world.exchange()
    once = Once("mine", "body")
    with pytest.raises(NotFound, match=there.answer):
        await world.store.conversations.select(world.owner, once, here.conversation, there.answer)
    await world.store.conversations.select(world.owner, once, here.conversation, here.message)


async def test_a_deleted_conversation_is_gone_for_its_owner(world: World) -> None:
    """From lists and by its id, and a second time there is nothing to delete."""
    sent = await world.exchange()
    await world.store.conversations.delete(world.owner, sent.conversation)
    assert (await world.store.conversations.list(world.owner)).total == 0
    with pytest.raises(NotFound):
        await world.store.conversations.delete(world.owner, sent.conversation)
