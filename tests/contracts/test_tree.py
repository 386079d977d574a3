"""The tree of messages: one branch of it, oldest first, with all children of each parent."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import NotFound
from storage.records import Edit, NewConversation, Regenerate, Sent
from tests.support.rows import REQUEST, World


async def grown(world: World, shape: list[int]) -> dict[str, str | None]:
    """A conversation whose n-th step sends, edits or regenerates somewhere; each id's parent."""
    first = await world.exchange()
    parents: dict[str, str | None] = {first.message: None, first.answer: first.message}
    asked, answered = [first.message], [first.answer]
    for step in shape:
        once, kind, at = world.once(), step % 3, step // 3
        incarnation = await world.incarnation()
        if kind == 0:
            parent = answered[at % len(answered)]
            sent = await world.send(
                conversation=first.conversation, parent=parent, incarnation=incarnation
            )
            parents[sent.message] = parent
            asked.append(sent.message)
        elif kind == 1:
            message = asked[at % len(asked)]
            edit = Edit(
                once=once,
                request=REQUEST,
                max_queued=3,
                message=message,
                content="x",
                incarnation=incarnation,
            )
            sent = await world.store.sending.edit(world.owner, edit)
            parents[sent.message] = parents[message]
            asked.append(sent.message)
        else:
            answer = answered[at % len(answered)]
            again = Regenerate(
                once=once, request=REQUEST, max_queued=3, answer=answer, incarnation=incarnation
            )
            sent = await world.store.sending.regenerate(world.owner, again)
        parents[sent.answer] = sent.message
        answered.append(sent.answer)
        await world.end(world.held(sent))
    return parents


async def chain(world: World, exchanges: int) -> list[Sent]:
    """A conversation of one branch."""
    sent = [await world.exchange("0")]
    for number in range(1, exchanges):
        sent.append(await world.exchange(str(number), conversation=sent[0].conversation))
    return sent


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shape=st.lists(st.integers(0, 30), max_size=8), page=st.integers(1, 4))
async def test_every_branch_of_any_tree_reads_as_its_path(
    world: World, shape: list[int], page: int
) -> None:
    """Whole or page by page: the path from the root, with all children of each parent in order."""
    parents = await grown(world, shape)
    conversation = (
        await world.store.history.message(world.owner, next(iter(parents)))
    ).conversation
    for leaf in parents:
        path: list[str] = []
        at: str | None = leaf
        while at is not None:
            path.insert(0, at)
            at = parents[at]
        branch = await world.store.history.branch(world.owner, conversation, leaf=leaf, limit=99)
        assert [message.id for message in branch.messages] == path
        assert (branch.leaf, branch.more) == (leaf, False)
        for message in branch.messages:
            assert message.parent == parents[message.id]
            # Ids were noted in the order they were made, which is the order of siblings.
            family = [id for id, parent in parents.items() if parent == message.parent]
            assert list(message.siblings) == family
        read: list[str] = []
        newest = await world.store.history.branch(world.owner, conversation, leaf=leaf, limit=page)
        read = [message.id for message in newest.messages]
        more = newest.more
        while more:
            older = await world.store.history.branch(
                world.owner, conversation, before=read[0], limit=page
            )
            read = [message.id for message in older.messages] + read
            more = older.more
        assert read == path


async def test_a_branch_says_whether_it_goes_on_above(world: World) -> None:
    """Exactly at the bound there is no more."""
    sent = await chain(world, 3)
    conversation, owner = sent[0].conversation, world.owner
    assert (await world.store.history.branch(owner, conversation, limit=5)).more
    assert not (await world.store.history.branch(owner, conversation, limit=6)).more
    above = await world.store.history.branch(owner, conversation, before=sent[0].message)
    assert (above.messages, above.more) == ((), False)


async def test_a_branch_starts_at_no_message_of_another_conversation(world: World) -> None:
    """Neither as leaf nor as bound."""
    here, there = await world.exchange(), await world.exchange()
    branch = world.store.history.branch
    with pytest.raises(NotFound, match=there.answer):
        await branch(world.owner, here.conversation, leaf=there.answer)
    with pytest.raises(NotFound, match=there.answer):
        await branch(world.owner, here.conversation, before=there.answer)


async def test_reading_a_branch_costs_the_same_number_of_statements_however_long(
    world: World,
) -> None:
    """No query per message."""
    short = await chain(world, 1)
    long = await chain(world, 12)
    counts = []
    for sent in (short, long):
        before = len(world.db.statements)
        await world.store.history.branch(world.owner, sent[0].conversation, limit=100)
        counts.append(len(world.db.statements) - before)
    assert counts[0] == counts[1]


async def test_a_page_of_no_messages_has_none(world: World) -> None:
    """Who follows a conversation may want to see nothing of what was."""
    sent = await world.exchange()
    branch = await world.store.history.branch(world.owner, sent.conversation, limit=0)
    assert (branch.leaf, branch.messages, branch.more) == (sent.answer, (), True)


async def test_a_path_names_a_whole_branch_from_its_root(world: World) -> None:
    """The active one, or the one that ends in a given message."""
    first = await world.exchange()
    second = await world.exchange(conversation=first.conversation)
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=second.answer)
    other = await world.store.sending.regenerate(world.owner, again)
    path, root = world.store.history.path, (first.message, first.answer, second.message)
    assert await path(world.owner, first.conversation) == (*root, other.answer)
    leaf = second.answer
    assert await path(world.owner, first.conversation, leaf=leaf) == (*root, second.answer)
    assert await path(world.owner, first.conversation, leaf=first.message) == root[:1]
    new = await world.store.conversations.create(world.owner, world.once(), NewConversation())
    assert await path(world.owner, new.conversation.id) == ()
