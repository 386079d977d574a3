"""The one end of an answer, and what races for it."""

import asyncio

import pytest
from msgspec import Raw, structs

from protocol.text import crc32
from protocol.types import Degradation, FinishReason, Outcome
from storage.errors import Conflict, NotFound
from storage.records import Ended, Ending, Failure, Opening, RunState, Stopped, Tail, Timings
from storage.values import Spent
from storage.work import Expense, step_key
from tests.support.rows import DONE, REQUEST, World

ROUNDS = 20


def expense(answer: str, attempt: int, step: int, spent: Spent) -> Expense:
    return Expense(
        key=step_key(answer, attempt, step),
        feature="chat",
        model="m",
        provider="p",
        spent=spent,
        answer=answer,
    )


async def test_an_end_keeps_all_that_is_known_about_the_answer(world: World) -> None:
    """The message has the text, the conversation the sums, the log a commit to tell."""
    sent, held = await world.running()
    await world.write(held, 0, "hello ")
    how = Ending(
        outcome=Outcome.FAILED,
        finish_reason=FinishReason.TIMEOUT,
        tail=Tail(6, "wörld"),
        model="other",
        provider="p",
        citations=Raw(b'[{"start":0}]'),
        sources=Raw(b'[{"document":"d"}]'),
        degraded=(Degradation.FALLBACK_MODEL,),
        timings=Timings(queue=1, total=9, first_token=3),
        error=Failure(code="provider_timeout", message="too slow", retryable=True),
        expenses=(expense(sent.answer, 1, 1, Spent(10, 5, 1500)),),
    )
    end = await world.store.internal.answers.end(held, how)
    assert end == Ended(
        tenant=world.tenant,
        conversation=sent.conversation,
        answer=sent.answer,
        number=3,
        fence=1,
        attempt=1,
        outcome=Outcome.FAILED,
        finish_reason=FinishReason.TIMEOUT,
        length=11,
        crc32=crc32("hello wörld"),
        spent=Spent(10, 5, 1500),
        model="other",
        provider="p",
        citations=Raw(b'[{"start":0}]'),
        sources=Raw(b'[{"document":"d"}]'),
        degraded=(Degradation.FALLBACK_MODEL,),
        timings=Timings(queue=1, total=9, first_token=3),
        error=Failure(code="provider_timeout", message="too slow", retryable=True),
        ended_at=world.clock.now,
        fresh=True,
    )
    stored = await world.store.history.message(world.owner, sent.answer)
    assert stored.content == "hello wörld"
    assert stored.answered is not None
    assert (stored.answered.outcome, stored.answered.error) == (Outcome.FAILED, how.error)
    conversation = await world.store.conversations.get(world.owner, sent.conversation)
    assert conversation.spent == Spent(10, 5, 1500)
    assert conversation.spent.usage().cost_usd == 0.0000015
    opening = await world.store.internal.answers.opening(world.tenant, sent.conversation)
    assert opening == Opening(rows=3, unfinished=())


async def test_a_second_end_gets_the_first_one(world: World) -> None:
    """Its maker may not have heard of it; nothing is counted twice."""
    sent, held = await world.running()
    spent = (expense(sent.answer, 1, 1, Spent(1, 1, 1)),)
    how = structs.replace(DONE, tail=Tail(0, "hi"), expenses=spent)
    first = await world.store.internal.answers.end(held, how)
    other = Ending(outcome=Outcome.FAILED, finish_reason=FinishReason.ERROR, expenses=spent)
    second = await world.store.internal.answers.end(held, other)
    assert second == structs.replace(first, fresh=False)
    conversation = await world.store.conversations.get(world.owner, sent.conversation)
    assert conversation.spent == Spent(1, 1, 1)
    assert await world.numbers(sent.conversation) == [1, 2, 3]


async def test_an_end_says_whether_another_answer_is_queued(world: World) -> None:
    """Whoever ended it need not ask whose turn it is where it is nobody's."""
    first, held = await world.running()
    second = await world.send(conversation=first.conversation)
    end = await world.end(held)
    assert end.waiting
    assert not (await world.store.internal.answers.end(held, DONE)).waiting
    taker = await world.incarnation()
    claimed = await world.store.internal.answers.claim(world.tenant, second.answer, taker)
    assert claimed is not None
    assert not (await world.end(claimed.held)).waiting


async def test_expenses_of_every_attempt_are_the_answers(world: World) -> None:
    """Those recorded on the way and those of the end, each once by its key."""
    sent, held = await world.running()
    first, second = (expense(sent.answer, n, 1, Spent(n, n, n)) for n in (1, 2))
    for _ in range(2):
        await world.store.internal.usage.record(
            world.owner, [first], conversation=sent.conversation
        )
    end = await world.store.internal.answers.end(
        held, structs.replace(DONE, expenses=(first, second))
    )
    assert end.spent == Spent(3, 3, 3)
    conversation = await world.store.conversations.get(world.owner, sent.conversation)
    assert conversation.spent == Spent(3, 3, 3)


async def test_times_that_nobody_measured_are_the_rows_own(world: World) -> None:
    """A taker was not there when the answer began."""
    sent = await world.send()
    world.clock.advance(40)
    claimed = await world.store.internal.answers.claim(
        world.tenant, sent.answer, await world.incarnation()
    )
    assert claimed is not None
    world.clock.advance(60)
    assert (await world.end(claimed.held)).timings == Timings(queue=40, total=100)


async def test_text_with_a_hole_is_never_stored(world: World) -> None:
    """The tail must begin where the stored text ends, or before."""
    _, held = await world.running()
    with pytest.raises(Conflict):
        await world.store.internal.answers.end(held, structs.replace(DONE, tail=Tail(1, "x")))
    assert (await world.answer(held.answer)).state is RunState.RUNNING


async def test_stopping_a_queued_answer_ends_it_at_once(world: World) -> None:
    """Nobody runs it, so nobody is asked."""
    first, _ = await world.running()
    queued = await world.send(conversation=first.conversation)
    stopped = await world.store.sending.stop(world.owner, queued.answer)
    assert stopped.stopping is None
    assert stopped.ended is not None
    assert (stopped.ended.outcome, stopped.ended.fresh) == (Outcome.STOPPED, True)
    again = await world.store.sending.stop(world.owner, queued.answer)
    assert again == Stopped(ended=structs.replace(stopped.ended, fresh=False))


async def test_stopping_a_parked_answer_keeps_its_text(world: World) -> None:
    """What was shown is what is stored."""
    sent, held = await world.running()
    await world.write(held, 0, "before the pause")
    await world.store.internal.answers.park(held, REQUEST)
    stopped = await world.store.sending.stop(world.owner, sent.answer)
    assert stopped.ended is not None
    assert (stopped.ended.length, stopped.ended.fence) == (16, 2)


async def test_a_stop_that_was_acknowledged_decides_how_the_answer_ends(world: World) -> None:
    """Whatever the owner had come to by then, and however often it is asked."""
    sent, held = await world.running()
    for _ in range(2):
        stopped = await world.store.sending.stop(world.owner, sent.answer)
        assert stopped.stopping is not None
        assert stopped.stopping.incarnation == (await world.answer(sent.answer)).incarnation
    failure = Failure(code="provider_error", message="", retryable=True)
    how = Ending(outcome=Outcome.FAILED, finish_reason=FinishReason.ERROR, error=failure)
    end = await world.end(held, "partial", how)
    assert (end.outcome, end.finish_reason) == (Outcome.STOPPED, FinishReason.STOPPED)
    assert (end.error, end.length) == (None, 7)


async def test_the_first_reason_to_stop_stands(world: World) -> None:
    """Interrupting what was stopped does not rewrite why it ended."""
    sent, held = await world.running()
    await world.store.sending.stop(world.owner, sent.answer)
    await world.interrupt(sent.conversation)
    assert (await world.end(held)).finish_reason is FinishReason.STOPPED


async def test_a_stop_that_races_the_end_gives_one_end(world: World) -> None:
    """Whoever is first; both learn the same outcome, and one commit tells of it."""
    for _ in range(ROUNDS):
        sent, held = await world.running()
        how = structs.replace(DONE, tail=Tail(0, "hi"))
        ends = await asyncio.gather(
            *(world.store.internal.answers.end(held, how) for _ in range(3)),
            *(world.store.sending.stop(world.owner, sent.answer) for _ in range(3)),
        )
        final = await world.store.internal.answers.end(held, how)
        made = [end for end in ends if isinstance(end, Ended)]
        assert sum(end.fresh for end in made) == 1
        assert {end.outcome for end in made} == {final.outcome}
        assert await world.numbers(sent.conversation) == [1, 2, 3]


async def test_a_question_cannot_be_stopped(world: World) -> None:
    """Only answers can."""
    sent = await world.send()
    with pytest.raises(NotFound, match="answer"):
        await world.store.sending.stop(world.owner, sent.message)


async def test_a_deleted_conversations_answer_still_ends(world: World) -> None:
    """Its owner is told to stop it, and what waited is ended."""
    sent, held = await world.running()
    queued = await world.send(conversation=sent.conversation)
    deleted = await world.store.conversations.delete(world.owner, sent.conversation)
    assert [end.answer for end in deleted.ended] == [queued.answer]
    assert [stop.answer for stop in deleted.stopping] == [sent.answer]
    assert (await world.end(held)).finish_reason is FinishReason.STOPPED


async def test_an_interrupt_that_races_a_claim_ends_it_or_asks_its_owner(world: World) -> None:
    """Never both: who claimed it is asked to stop, and what was ended nobody runs."""
    incarnation = await world.incarnation()
    for _ in range(ROUNDS):
        sent = await world.send()
        claimed, second = await asyncio.gather(
            world.store.internal.answers.claim(world.tenant, sent.answer, incarnation),
            world.interrupt(sent.conversation),
        )
        assert [one.answer for one in second.stopping] == ([sent.answer] if claimed else [])
        assert [one.answer for one in second.ended] == ([] if claimed else [sent.answer])
        if claimed:
            assert (await world.end(claimed.held)).fresh


async def test_an_interrupt_that_races_a_park_leaves_nothing_parked(world: World) -> None:
    """Parked first, it is ended at once; asked to stop first, it is not parked."""
    for _ in range(ROUNDS):
        sent, held = await world.running()
        parked, second = await asyncio.gather(
            world.store.internal.answers.park(held, REQUEST, Tail(0, "so far")),
            world.interrupt(sent.conversation),
        )
        assert [one.answer for one in second.ended] == ([sent.answer] if parked else [])
        if parked is None:
            await world.end(held, "so far")
        assert (await world.store.history.message(world.owner, sent.answer)).content == "so far"
        assert await world.numbers(sent.conversation) == [1, 2, 3, 4, 5]
