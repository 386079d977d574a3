"""The outbox: what a conversation's log is told, in commit order, and never too early."""

from msgspec import structs

from protocol.types import Outcome
from storage.records import Change, Commit, CommitKind, Conversation, Ended, Feedback, Message
from tests.support.rows import World


async def unlogged(world: World, conversation: str) -> list[Commit]:
    return await world.store.internal.outbox.unlogged(world.tenant, conversation, limit=100)


async def overdue(world: World) -> list[str]:
    found = await world.store.internal.outbox.overdue(older_than_ms=5000, limit=1000)
    return [conversation for tenant, conversation in found if tenant == world.tenant]


async def test_everything_committed_is_told_in_order_with_its_row(world: World) -> None:
    """Question, answer, its end, an opinion, a new title."""
    sent = await world.exchange("q", "a")
    await world.store.feedback.save(world.owner, world.once(), sent.answer, rating="up")
    await world.store.conversations.change(world.owner, sent.conversation, Change(title="t"))
    commits = await unlogged(world, sent.conversation)
    assert [(commit.number, commit.kind) for commit in commits] == [
        (1, CommitKind.MESSAGE),
        (2, CommitKind.MESSAGE),
        (3, CommitKind.COMPLETE),
        (4, CommitKind.FEEDBACK),
        (5, CommitKind.CONVERSATION),
    ]
    question, answer, end, opinion, conversation = (commit.row for commit in commits)
    assert isinstance(question, Message)
    assert isinstance(answer, Message)
    assert isinstance(end, Ended)
    assert isinstance(opinion, Feedback)
    assert isinstance(conversation, Conversation)
    assert (question.content, answer.parent) == ("q", sent.message)
    assert (end.answer, end.outcome) == (sent.answer, Outcome.COMPLETE)
    assert (opinion.rating, conversation.title) == ("up", "t")


async def test_what_was_told_is_not_told_again(world: World) -> None:
    """A mark covers all that came before."""
    sent = await world.exchange()
    await world.store.internal.outbox.mark_logged([(world.tenant, sent.conversation, 2)])
    assert [commit.number for commit in await unlogged(world, sent.conversation)] == [3]
    await world.store.internal.outbox.mark_logged([(world.tenant, sent.conversation, 3)])
    assert await unlogged(world, sent.conversation) == []


async def test_many_conversations_are_marked_at_once(world: World) -> None:
    """One statement however many, each up to a number of its own; none at all is nothing."""
    sent = [await world.exchange() for _ in range(3)]
    upto = [(world.tenant, one.conversation, number) for number, one in enumerate(sent, start=1)]
    stranger = (f"{world.tenant}-other", sent[0].conversation, 3)
    before = len(world.db.statements)
    await world.store.internal.outbox.mark_logged([*upto, stranger])
    await world.store.internal.outbox.mark_logged([])
    assert len(world.db.statements) - before == 1
    left = [[commit.number for commit in await unlogged(world, one.conversation)] for one in sent]
    assert left == [[2, 3], [3], []]


async def test_a_message_that_interrupts_is_told_after_the_end_it_caused(world: World) -> None:
    """Until the running answer ended, nothing behind its reserved place is told."""
    first, held = await world.running()
    queued = await world.send(conversation=first.conversation)
    second = await world.interrupt(first.conversation)
    told = [
        getattr(commit.row, "answer", None) for commit in await unlogged(world, first.conversation)
    ]
    assert told == [None, None, None, None, queued.answer]
    end = await world.end(held, "so far")
    commits = await unlogged(world, first.conversation)
    assert [commit.number for commit in commits] == list(range(1, 9))
    assert commits[5].row == structs.replace(end, fresh=False, waiting=False)
    assert isinstance(commits[6].row, Message)
    assert commits[6].row.id == second.message


async def test_what_stays_untold_for_seconds_is_found(world: World) -> None:
    """Whoever committed it may have died before telling."""
    sent = await world.exchange()
    assert await overdue(world) == []
    world.clock.advance(5000)
    assert await overdue(world) == [sent.conversation]
    await world.store.internal.outbox.mark_logged([(world.tenant, sent.conversation, 3)])
    assert await overdue(world) == []


async def test_what_stays_untold_is_found_page_by_page(world: World) -> None:
    """So that what cannot be told keeps nobody else's place."""
    behind = [(await world.exchange()).conversation for _ in range(5)]
    world.clock.advance(5000)
    outbox, found = world.store.internal.outbox, list[tuple[str, str]]()
    while page := await outbox.overdue(
        older_than_ms=5000, limit=2, after=found[-1] if found else None
    ):
        assert len(page) <= 2
        found += page
    assert len(set(found)) == len(found)
    assert {(world.tenant, each) for each in behind} <= set(found)


async def test_what_waits_behind_a_running_answers_end_is_not_overdue(world: World) -> None:
    """The sweeper would come in vain, every five seconds."""
    first, held = await world.running()
    await world.store.internal.outbox.mark_logged([(world.tenant, first.conversation, 2)])
    await world.interrupt(first.conversation)
    world.clock.advance(60_000)
    assert await overdue(world) == []
    await world.end(held)
    assert await overdue(world) == [first.conversation]
