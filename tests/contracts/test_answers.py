"""An answer's life: who may run it, what of its text is kept, and how fences shut others out."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from protocol.text import crc32, utf16_length
from protocol.types import AnswerState, FinishReason
from storage.accounts import User
from storage.errors import Conflict, Fenced, NotFound
from storage.log import ROWS, Append, Appended
from storage.memory.log import MemoryLog
from storage.records import (
    Checkpoint,
    Checkpointed,
    NewConversation,
    Opening,
    RunState,
    Tail,
    Verdict,
)
from tests.support.rows import DONE, REQUEST, World

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


async def test_a_queued_answer_is_claimed_by_one_of_many(world: World) -> None:
    """A hundred try; one owns it, with the first fence."""
    sent = await world.send()
    incarnation = await world.incarnation()
    claims = await asyncio.gather(
        *(
            world.store.internal.answers.claim(world.tenant, sent.answer, incarnation)
            for _ in range(100)
        )
    )
    (won,) = [claim for claim in claims if claim is not None]
    assert (won.state, won.fence, won.incarnation) == (RunState.RUNNING, 1, incarnation)


async def test_answers_run_in_the_order_of_their_messages(world: World) -> None:
    """A later one cannot be claimed until every earlier one ended."""
    first, held = await world.running()
    second = await world.send(conversation=first.conversation)
    third = await world.send(conversation=first.conversation)
    answers, incarnation = world.store.internal.answers, await world.incarnation()
    assert await answers.claim(world.tenant, second.answer, incarnation) is None
    await world.end(held)
    assert await answers.claim(world.tenant, third.answer, incarnation) is None
    claimed = await answers.claim(world.tenant, second.answer, incarnation)
    assert claimed is not None
    await world.end(claimed.held)
    assert await answers.claim(world.tenant, third.answer, incarnation) is not None


async def test_answers_of_who_is_shut_out_are_found_until_they_are_told_to_end(
    world: World,
) -> None:
    """The last of a conversation first, and nobody else's."""
    accounts, answers = world.store.internal.accounts, world.store.internal.answers

    async def found() -> list[str]:
        every = await answers.of_shut_out()
        return [one.id for one in every if one.tenant == world.tenant]

    first, _ = await world.running()
    second = await world.send(conversation=first.conversation)
    deleted, _ = await world.running()
    await world.store.conversations.delete(world.owner, deleted.conversation)
    await world.exchange()
    await accounts.put_user(User(tenant=world.tenant, id=world.owner.user))
    await accounts.put_user(User(tenant=world.tenant, id=world.neighbour.user))
    assert await found() == []
    await accounts.disable_user(world.tenant, world.owner.user, disabled=True)
    assert await found() == [second.answer, first.answer]
    for answer in (second.answer, first.answer):
        await world.store.sending.stop(world.owner, answer)
    assert await found() == []


async def test_a_parked_answer_is_nobodys_and_resumed_by_one(world: World) -> None:
    """Its transcript and text wait in the row; the fence rises both times."""
    sent, held = await world.running()
    await world.write(held, 0, "let me ")
    parked = await world.store.internal.answers.park(held, Raw(b'["step"]'), Tail(0, "let me look"))
    assert parked is not None
    assert (parked.state, parked.incarnation, parked.fence) == (RunState.PARKED, None, 2)
    assert (parked.transcript, parked.length) == (Raw(b'["step"]'), 11)
    incarnation = await world.incarnation()
    resumed = await asyncio.gather(
        *(
            world.store.internal.answers.resume(world.tenant, sent.answer, incarnation)
            for _ in range(20)
        )
    )
    (won,) = [answer for answer in resumed if answer is not None]
    assert (won.state, won.fence, won.transcript) == (RunState.RUNNING, 3, Raw(b'["step"]'))
    end = await world.end(won.held, ": done")
    assert end.length == len("let me look: done")


async def test_a_parked_answer_that_is_stopped_names_the_model_it_asked(world: World) -> None:
    """Whoever stops it asked none."""
    sent, held = await world.running()
    answers = world.store.internal.answers
    assert await answers.park(held, REQUEST, model="test/m", provider="test") is not None
    stopped = await world.store.sending.stop(world.owner, sent.answer)
    assert stopped.ended is not None
    assert (stopped.ended.model, stopped.ended.provider) == ("test/m", "test")


async def test_an_answer_asked_to_stop_is_not_parked(world: World) -> None:
    """Nobody would be there to end it."""
    sent, held = await world.running()
    await world.store.sending.stop(world.owner, sent.answer)
    assert await world.store.internal.answers.park(held, REQUEST) is None
    assert (await world.end(held)).finish_reason is FinishReason.STOPPED


async def test_whoever_lost_an_answer_writes_nothing(world: World) -> None:
    """Every way to write it is shut by the fence, one that was never right included."""
    _, old = await world.running()
    parked = await world.store.internal.answers.park(old, REQUEST)
    assert parked is not None
    resumed = await world.store.internal.answers.resume(
        world.tenant, old.answer, await world.incarnation()
    )
    assert resumed is not None
    answers = world.store.internal.answers
    for stale in (old, parked.held, structs.replace(old, fence=99)):
        piece = Checkpoint(held=stale, start=0, text="zombie")
        assert [one.verdict for one in await answers.checkpoint([piece])] == [Verdict.FENCED]
        for write in (
            answers.end(stale, DONE),
            answers.park(stale, REQUEST),
            answers.reset(stale, attempt=1),
        ):
            with pytest.raises(Fenced):
                await write
    assert (await world.end(resumed.held, "true")).length == 4


async def test_one_batch_checkpoints_all_that_run_and_refuses_what_may_not(world: World) -> None:
    """A refused one refuses no other, and results come in the batch's order."""
    held = [(await world.running())[1] for _ in range(5)]
    stale = structs.replace(held[2], fence=7)
    await world.store.sending.stop(world.owner, held[3].answer)
    batch = [Checkpoint(held=one, start=0, text="x👋", epoch="e", seq=4) for one in held]
    batch[2] = structs.replace(batch[2], held=stale)
    batch[4] = structs.replace(batch[4], start=5)
    assert await world.store.internal.answers.checkpoint(batch) == [
        Checkpointed(answer=held[0].answer, verdict=Verdict.STORED, length=3),
        Checkpointed(answer=held[1].answer, verdict=Verdict.STORED, length=3),
        Checkpointed(answer=held[2].answer, verdict=Verdict.FENCED),
        Checkpointed(
            answer=held[3].answer, verdict=Verdict.STORED, length=3, stop=FinishReason.STOPPED
        ),
        Checkpointed(answer=held[4].answer, verdict=Verdict.MISPLACED, length=0),
    ]
    assert await world.store.internal.answers.checkpoint([]) == []


async def test_a_checkpoint_said_twice_is_stored_once(world: World) -> None:
    """Its writer may not have heard that it succeeded."""
    sent, held = await world.running()
    piece = Checkpoint(held=held, start=0, text="hello", epoch="e", seq=2)
    for _ in range(2):
        (result,) = await world.store.internal.answers.checkpoint([piece])
        assert (result.verdict, result.length) == (Verdict.STORED, 5)
    more = structs.replace(piece, text="hello world")
    (result,) = await world.store.internal.answers.checkpoint([more])
    assert (result.verdict, result.length) == (Verdict.MISPLACED, 5)
    assert (await world.end(held, " world")).length == 11
    assert (await world.store.history.message(world.owner, sent.answer)).content == "hello world"


@pytest.mark.parametrize("more", [{"seq": 3}, {"epoch": "f"}, {"citations": Raw(b'[{"end":5}]')}])
async def test_a_checkpoint_is_stored_whole_or_not(world: World, more: dict[str, Any]) -> None:
    """The same text with more beside it is told where the text ends, and comes again from there."""
    _, held = await world.running()
    piece = Checkpoint(held=held, start=0, text="hello", epoch="e", seq=2)
    checkpoint = world.store.internal.answers.checkpoint
    await checkpoint([piece])
    further = structs.replace(piece, **more)
    (result,) = await checkpoint([further])
    assert (result.verdict, result.length) == (Verdict.MISPLACED, 5)
    (result,) = await checkpoint([structs.replace(further, start=5, text="")])
    assert (result.verdict, result.length) == (Verdict.STORED, 5)


async def test_an_unfinished_answer_shows_what_was_checkpointed(world: World) -> None:
    """Text, position, phase and citations: what a device is brought level from."""
    sent, held = await world.running()
    cited = Raw(b'[{"start":0,"end":2}]')
    for piece in (
        Checkpoint(held=held, start=0, text="a👋", epoch="e", seq=3, citations=cited),
        Checkpoint(held=held, start=3, text="b", epoch="e", seq=5, phase=AnswerState.TOOL),
    ):
        await world.store.internal.answers.checkpoint([piece])
    queued = await world.send(conversation=sent.conversation)
    shown = (await world.store.history.snapshot(world.owner, sent.conversation)).unfinished
    assert [(one.answer.id, one.text) for one in shown] == [
        (sent.answer, "a👋b"),
        (queued.answer, ""),
    ]
    answer = shown[0].answer
    assert (answer.epoch, answer.seq, answer.length) == ("e", 5, 4)
    assert (answer.phase, shown[0].citations) == (AnswerState.TOOL, cited)
    opening = await world.store.internal.answers.opening(world.tenant, sent.conversation)
    assert opening == Opening(rows=4, unfinished=tuple(shown))


async def test_reset_gives_up_the_text_and_begins_the_next_attempt(world: World) -> None:
    """Asked twice, the same attempt; the fence stays."""
    sent, held = await world.running()
    await world.write(held, 0, "wrong")
    assert await world.store.internal.answers.reset(held, attempt=1) == 2
    await world.write(held, 0, "right")
    assert await world.store.internal.answers.reset(held, attempt=1) == 2
    with pytest.raises(Conflict):
        await world.store.internal.answers.reset(held, attempt=5)
    end = await world.end(held, "!")
    assert (end.attempt, end.length) == (2, 6)
    assert (await world.store.history.message(world.owner, sent.answer)).content == "right!"


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(attempts=st.lists(st.lists(TEXT, max_size=6), min_size=1, max_size=3), known=st.data())
async def test_the_pieces_of_the_last_attempt_are_the_message(
    world: World, attempts: list[list[str]], known: st.DataObject
) -> None:
    """However the text is cut, whatever the writer did not hear of, byte for byte."""
    sent, held = await world.running()
    starts = [0]
    for number, pieces in enumerate(attempts, start=1):
        starts = [0]
        for piece in pieces:
            await world.write(held, starts[-1], piece)
            starts.append(starts[-1] + utf16_length(piece))
        if number < len(attempts):
            await world.store.internal.answers.reset(held, attempt=number)
    heard = known.draw(st.integers(0, len(attempts[-1])))
    tail = Tail(starts[heard], "".join(attempts[-1][heard:]) + "end")
    end = await world.store.internal.answers.end(held, structs.replace(DONE, tail=tail))
    whole = "".join(attempts[-1]) + "end"
    stored = await world.store.history.message(world.owner, sent.answer)
    assert stored.content == whole
    assert (end.length, end.crc32) == (utf16_length(whole), crc32(whole))


async def test_a_batch_with_two_checkpoints_of_one_answer_stores_nothing(world: World) -> None:
    """One statement takes one of them, and the text would not fit its length."""
    _, held = await world.running()
    pieces = [Checkpoint(held=held, start=start, text="xx") for start in (0, 2)]
    with pytest.raises(ValueError, match="one checkpoint per answer"):
        await world.store.internal.answers.checkpoint(pieces)
    assert (await world.answer(held.answer)).length == 0


async def test_an_epoch_is_opened_before_an_end_that_has_its_place_already(world: World) -> None:
    """Opened behind it, the log would take it for told, and nobody would hear of that end."""
    first, held = await world.running()
    second = await world.interrupt(first.conversation)
    opening = await world.store.internal.answers.opening(world.tenant, first.conversation)
    log = MemoryLog()
    fences = {one.answer.id: one.answer.fence for one in opening.unfinished}
    assert fences == {first.answer: 1, second.answer: 0}
    seen = await log.open(first.conversation, None, opening.rows, fences)
    assert seen is not None
    await world.end(held)
    commits = await world.store.internal.outbox.unlogged(
        world.tenant, first.conversation, limit=100
    )
    untold = [commit.number for commit in commits if commit.number > opening.rows]
    assert untold == [3, *second.numbers]
    for number in untold:
        append = Append(first.conversation, ROWS, 0, number, b"row", seen)
        assert [type(result) for result in await log.append([append])] == [Appended]


async def test_only_a_conversation_that_is_there_can_be_opened(world: World) -> None:
    """A deleted one is: its answers still have to end, and its devices to hear of it."""
    sent, _ = await world.running()
    await world.store.conversations.delete(world.owner, sent.conversation)
    opening = await world.store.internal.answers.opening(world.tenant, sent.conversation)
    assert ([one.answer.id for one in opening.unfinished], opening.rows) == ([sent.answer], 2)
    with pytest.raises(NotFound):
        await world.store.internal.answers.opening(world.tenant, "c_missing")


async def test_the_text_of_a_parked_answer_goes_up_to_its_position(world: World) -> None:
    """Whoever attaches is shown the text, and then the log from there on."""
    _, held = await world.running()
    await world.write(held, 0, "let me ")
    tail = Tail(4, "me look", epoch="f", seq=40)
    parked = await world.store.internal.answers.park(held, REQUEST, tail)
    assert parked is not None
    assert (parked.length, parked.epoch, parked.seq) == (11, "f", 40)
    _, other = await world.running()
    await world.write(other, 0, "let me ")
    parked = await world.store.internal.answers.park(other, REQUEST)
    assert parked is not None
    assert (parked.length, parked.epoch, parked.seq) == (7, "e", 7)


async def test_a_thread_is_what_a_model_is_shown(world: World) -> None:
    """Down to the message that is to be answered, bare, oldest first; other branches are not."""
    first = await world.exchange(
        "one", "two", new=NewConversation(model="m", system_prompt="Be brief.")
    )
    await world.exchange("aside", "other", conversation=first.conversation, parent=first.answer)
    third = await world.send("three", conversation=first.conversation, parent=first.answer)
    answers = world.store.internal.answers
    thread = await answers.thread(world.tenant, third.conversation, third.message, limit=10)
    assert [(said.role, said.content) for said in thread.messages] == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    assert (thread.model, thread.system_prompt) == ("m", "Be brief.")
    assert not thread.more


async def test_a_thread_has_the_newest_messages_and_says_that_there_are_more(world: World) -> None:
    """However long the conversation is, it is one statement for so many messages."""
    sent = await world.exchange("one", "two")
    sent = await world.exchange("three", "four", conversation=sent.conversation)
    answers = world.store.internal.answers
    thread = await answers.thread(world.tenant, sent.conversation, sent.message, limit=2)
    assert [said.content for said in thread.messages] == ["two", "three"]
    assert thread.more
    thread = await answers.thread(world.tenant, sent.conversation, sent.message, limit=3)
    assert len(thread.messages) == 3
    assert not thread.more


async def test_a_thread_of_another_conversation_or_tenant_is_not_there(world: World) -> None:
    """The message, its conversation and the tenant belong together."""
    one, two = await world.exchange(), await world.exchange()
    answers = world.store.internal.answers
    for tenant, conversation in [(world.tenant, two.conversation), ("other", one.conversation)]:
        with pytest.raises(NotFound):
            await answers.thread(tenant, conversation, one.message, limit=10)
