"""Who asks is handed the rows just made, so that nobody has to read them again."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from msgspec import Raw, structs

from protocol.types import OnBusy
from storage.records import Edit, Message, NewConversation, Regenerate, Send, Sent
from storage.sql import asked
from tests.support.rows import REQUEST, World

Asking = Callable[[World, str], Awaitable[Sent]]


async def told(world: World, sent: Sent) -> tuple[Message, ...]:
    """The same rows, as the log is told of them."""
    commits = await world.store.internal.outbox.unlogged(
        world.tenant, sent.conversation, limit=1000
    )
    return tuple(
        commit.row
        for commit in commits
        if commit.number in sent.numbers and isinstance(commit.row, Message)
    )


async def new(world: World, incarnation: str) -> Sent:
    full = world.ask("q", metadata=Raw(b'{"b": 1, "a":[1.50]}'), attachments=("f1", "f2"))
    return await world.store.sending.send(
        world.owner, structs.replace(full, incarnation=incarnation, model="m")
    )


async def further(world: World, incarnation: str) -> Sent:
    first = await world.exchange()
    return await world.send(conversation=first.conversation, incarnation=incarnation)


async def beside(world: World, incarnation: str) -> Sent:
    first = await world.exchange()
    parent = (await world.exchange(conversation=first.conversation)).message
    return await world.send(
        conversation=first.conversation, parent=first.answer, incarnation=incarnation, model=parent
    )


async def into_an_empty_one(world: World, incarnation: str) -> Sent:
    new = await world.store.conversations.create(world.owner, world.once(), NewConversation())
    made = new.conversation
    return await world.send(conversation=made.id, incarnation=incarnation)


async def again(world: World, incarnation: str) -> Sent:
    first = await world.exchange()
    ask = Regenerate(
        once=world.once(),
        request=REQUEST,
        max_queued=3,
        answer=first.answer,
        incarnation=incarnation,
    )
    return await world.store.sending.regenerate(world.owner, ask)


async def edited(world: World, incarnation: str) -> Sent:
    first = await world.exchange()
    ask = Edit(
        once=world.once(),
        request=REQUEST,
        max_queued=3,
        message=first.message,
        content="r",
        incarnation=incarnation,
    )
    return await world.store.sending.edit(world.owner, ask)


async def interrupting(world: World, incarnation: str) -> Sent:
    first = await world.send()
    return await world.send(
        conversation=first.conversation, on_busy=OnBusy.INTERRUPT, incarnation=incarnation
    )


@pytest.mark.parametrize(
    "asking", [new, further, beside, into_an_empty_one, again, edited, interrupting]
)
async def test_the_asker_gets_what_could_be_read_afterwards(world: World, asking: Asking) -> None:
    """The rows with their siblings as the log is told of them, and the answer it is to run."""
    sent = await asking(world, await world.incarnation())
    assert sent.rows
    assert sent.rows == await told(world, sent)
    assert sent.run == await world.answer(sent.answer)


async def test_an_answer_that_waits_is_not_the_askers_to_run(world: World) -> None:
    """Its rows are there all the same."""
    first, _ = await world.running()
    sent = await world.send(conversation=first.conversation, incarnation=await world.incarnation())
    assert (sent.queued, sent.run) == (1, None)
    assert sent.rows == await told(world, sent)


async def test_a_duplicate_gets_no_rows(world: World) -> None:
    """Somebody else tells of them and runs the answer; the id keeps little, and for ever."""
    ask: Send = structs.replace(world.ask(), incarnation=await world.incarnation())
    first = await world.store.sending.send(world.owner, ask)
    second = await world.store.sending.send(world.owner, ask)
    assert second == structs.replace(first, duplicate=True, rows=(), run=None)
    (kept,) = await world.rows(
        "SELECT result FROM idempotency WHERE tenant = :tenant AND id = :id",
        tenant=world.tenant,
        id=ask.once.id,
    )
    assert set(msgspec.json.decode(str(kept["result"]))) == {
        "type",
        "conversation",
        "created",
        "message",
        "answer",
        "queued",
        "numbers",
        "fence",
    }


async def test_a_new_conversation_costs_no_look_at_what_stands_there(world: World) -> None:
    """In another, one statement finds the siblings."""

    async def statements(conversation: str | None) -> int:
        before = len(world.db.statements)
        await world.send(conversation=conversation)
        return len(world.db.statements) - before

    first = await world.exchange()
    # One makes the conversation; two find and lock it and see what is ahead.
    assert await statements(first.conversation) - await statements(None) == 2
    assert asked.Place("c", None, None, created=True).created
