"""Reading: messages with their tools and opinions, and what is unfinished."""

from protocol.types import FinishReason, Outcome, Position, Role, ToolState
from storage.records import (
    Checkpoint,
    Edit,
    Message,
    NewConversation,
    NewToolCall,
    RunState,
)
from tests.support.rows import REQUEST, World

AT = Position("e", 0)


async def test_an_answer_carries_what_it_came_to(world: World) -> None:
    """Outcome, tools and the reader's opinion; a question carries none of it."""
    sent, held = await world.running()
    call = NewToolCall(
        id="t_1", name="look", step=1, arguments=REQUEST, args_hash="h", state=ToolState.REQUESTED
    )
    await world.store.internal.tools.create(held, call)
    await world.end(held, "seen")
    await world.store.feedback.save(world.owner, world.once(), sent.answer, rating="5", comment="!")
    question, answer = (await world.store.history.branch(world.owner, sent.conversation)).messages
    assert (question.role, question.answered, question.tools) == (Role.USER, None, ())
    assert (answer.role, answer.content) == (Role.ASSISTANT, "seen")
    assert answer.answered is not None
    assert (answer.answered.state, answer.answered.outcome, answer.answered.finish_reason) == (
        RunState.ENDED,
        Outcome.COMPLETE,
        FinishReason.STOP,
    )
    assert [(tool.id, tool.state) for tool in answer.tools] == [("t_1", ToolState.EXPIRED)]
    assert answer.feedback is not None
    assert (answer.feedback.rating, answer.feedback.comment) == ("5", "!")


async def test_an_unfinished_answer_is_an_empty_message_on_its_branch(world: World) -> None:
    """Its text so far stands elsewhere: in a snapshot's `unfinished`."""
    sent, held = await world.running()
    await world.write(held, 0, "so far")
    answer = (await world.store.history.branch(world.owner, sent.conversation)).messages[-1]
    assert (answer.id, answer.content) == (sent.answer, "")
    assert answer.answered is not None
    assert (answer.answered.state, answer.answered.outcome) == (RunState.RUNNING, None)


async def test_an_empty_conversation_has_an_empty_branch(world: World) -> None:
    """And nothing unfinished."""
    new = await world.store.conversations.create(world.owner, world.once(), NewConversation())
    made = new.conversation
    branch = await world.store.history.branch(world.owner, made.id)
    assert (branch.leaf, branch.messages, branch.more) == (None, (), False)
    snapshot = await world.store.history.snapshot(world.owner, made.id)
    assert (snapshot.branch, snapshot.unfinished) == (branch, ())


async def test_a_snapshot_shows_each_answer_once_and_with_its_text(world: World) -> None:
    """Unfinished, it stands apart from its empty row; ended, it is on the branch alone."""
    sent, held = await world.running()
    await world.write(held, 0, "so far")
    running = await world.store.history.snapshot(world.owner, sent.conversation)
    assert [(one.answer.id, one.text) for one in running.unfinished] == [(sent.answer, "so far")]
    assert running.branch == await world.store.history.branch(world.owner, sent.conversation)
    await world.end(held)
    ended = await world.store.history.snapshot(world.owner, sent.conversation)
    assert ended.unfinished == ()
    assert ended.branch.messages[-1].content == "so far"


async def test_what_was_stored_by_a_place_of_the_log_is_known_later(world: World) -> None:
    """Of an answer that goes on; in another epoch, or behind its last checkpoint, it is all."""
    sent, held = await world.running()
    for start, text, seq in ((0, "told", 5), (4, " and on", 9)):
        piece = Checkpoint(held=held, start=start, text=text, epoch="e", seq=seq)
        await world.store.internal.answers.checkpoint([piece])

    async def stored(epoch: str, seq: int) -> dict[str, int]:
        at = Position(epoch, seq)
        standing = await world.store.history.standing(world.owner, sent.conversation, at)
        return standing.stored

    assert await stored("e", 4) == {}
    assert await stored("e", 5) == await stored("e", 8) == {sent.answer: 4}
    assert await stored("e", 9) == await stored("f", 0) == {sent.answer: 11}


async def test_where_a_conversation_stands_is_one_statement(world: World) -> None:
    """However many answers there are; with the same leaf and the same answers as a snapshot."""
    sent, held = await world.running()
    queued = await world.send(conversation=sent.conversation)
    before = len(world.db.statements)
    standing = await world.store.history.standing(world.owner, sent.conversation, AT)
    assert len(world.db.statements) - before == 1
    snapshot = await world.store.history.snapshot(world.owner, sent.conversation)
    assert standing.leaf == snapshot.branch.leaf
    assert standing.commits == queued.numbers[-1]
    assert standing.unfinished == tuple(each.answer for each in snapshot.unfinished)
    assert [answer.id for answer in standing.unfinished] == [sent.answer, queued.answer]
    await world.end(held)
    new = await world.store.conversations.create(world.owner, world.once(), NewConversation())
    made = new.conversation
    for conversation, left in ((sent.conversation, [queued.answer]), (made.id, [])):
        standing = await world.store.history.standing(world.owner, conversation, AT)
        assert [answer.id for answer in standing.unfinished] == left


async def test_deleting_a_conversation_for_good_takes_all_its_rows(world: World) -> None:
    """However long the branch: a cascade from parent to child would recurse too deep."""
    sent = await world.exchange()
    other = await world.exchange()
    parent = sent.answer
    links = []
    for number in range(1500):
        id = f"m_{world.tenant}_{number:05}"
        links.append({"tenant": world.tenant, "id": id, "c": sent.conversation, "parent": parent})
        parent = id
    await world.db.real.write(
        lambda c: c.many(
            """
            INSERT INTO messages (tenant, id, conversation, parent, role, content, metadata,
                attachments, number, created_at)
            VALUES (:tenant, :id, :c, :parent, 'user', '', '{}', '[]', 0, 0)
            """,
            links,
        )
    )
    await world.run(
        "DELETE FROM conversations WHERE tenant = :tenant AND id = :id",
        tenant=world.tenant,
        id=sent.conversation,
    )
    for table in ("messages", "answers", "commits"):
        left = await world.rows(
            f"SELECT DISTINCT conversation FROM {table} WHERE tenant = :tenant",
            tenant=world.tenant,
        )
        assert left == [{"conversation": other.conversation}]


async def test_messages_of_all_branches_come_in_the_order_they_were_made(world: World) -> None:
    """Page by page, each whole: with its siblings, its tools and its reader's opinion."""
    first = await world.exchange("1", "a")
    edit = Edit(
        once=world.once(), request=REQUEST, max_queued=3, message=first.message, content="2"
    )
    second = await world.store.sending.edit(world.owner, edit)
    await world.store.feedback.save(world.owner, world.once(), first.answer, rating="up")
    rows: list[Message] = []
    while page := await world.store.history.made(
        world.owner, first.conversation, after=rows[-1].number if rows else 0, limit=3
    ):
        rows += page
    made = [first.message, first.answer, second.message, second.answer]
    assert [row.id for row in rows] == made
    for row in rows:
        assert row == await world.store.history.message(world.owner, row.id)
    assert rows[1].feedback is not None
    assert rows[0].siblings == (first.message, second.message)
