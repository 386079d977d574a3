"""Sending, regenerating, editing: what is stored, in which order, and how often."""

import asyncio
from collections.abc import Coroutine

import pytest
from msgspec import structs

from protocol.types import FinishReason, OnBusy, Outcome
from storage.errors import Busy, IdConflict, NotEditable, NotFound, TooMany
from storage.records import Edit, NewConversation, Regenerate, RunState, Sent
from storage.sql import asked
from storage.values import Once
from storage.work import NewJob
from tests.support.rows import REQUEST, World

RACERS = 1000


async def test_a_message_makes_a_conversation_and_an_answer_that_waits(world: World) -> None:
    """Without somebody to run it, the answer is queued and nobody's."""
    sent = await world.send("what is love?", model="offline")
    assert (sent.created, sent.duplicate, sent.queued, sent.fence) == (True, False, 0, 0)
    assert sent.numbers == (1, 2)
    answer = await world.answer(sent.answer)
    assert (answer.state, answer.incarnation, answer.user) == (RunState.QUEUED, None, "ann")
    assert (answer.parent, answer.request, answer.model) == (sent.message, REQUEST, "offline")


async def test_an_answer_with_nothing_ahead_belongs_to_the_incarnation_that_sent_it(
    world: World,
) -> None:
    """No second transaction is needed to begin."""
    sent, held = await world.running()
    answer = await world.answer(sent.answer)
    assert (answer.state, answer.fence, answer.held) == (RunState.RUNNING, 1, held)
    assert answer.started_at == world.clock.now


async def test_a_message_continues_the_active_branch(world: World) -> None:
    """Its parent is the leaf, and its answer becomes the leaf."""
    first = await world.exchange()
    second = await world.send(conversation=first.conversation)
    assert not second.created
    assert (await world.store.history.message(world.owner, second.message)).parent == first.answer
    conversation = await world.store.conversations.get(world.owner, first.conversation)
    assert (conversation.leaf, conversation.message_count) == (second.answer, 4)


async def test_a_parent_may_be_named_and_must_be_of_the_conversation(world: World) -> None:
    """A message of another conversation is not found, even one's own."""
    first, other = await world.exchange(), await world.exchange()
    aside = await world.send(conversation=first.conversation, parent=first.message)
    assert (await world.store.history.message(world.owner, aside.message)).parent == first.message
    with pytest.raises(NotFound, match=other.message):
        await world.send(conversation=first.conversation, parent=other.message)


async def test_a_new_conversation_has_no_message_to_be_the_parent(world: World) -> None:
    """Not even one's own: nothing is stored where the client did not mean it to be."""
    first = await world.exchange()
    with pytest.raises(NotFound, match=first.answer):
        await world.send(parent=first.answer)
    assert (await world.store.conversations.list(world.owner)).total == 1


async def test_a_new_conversation_begins_as_it_is_told_to(world: World) -> None:
    """Title, model, prompt and collection are the conversation's own."""
    new = NewConversation(title="Love", model="m", system_prompt="be kind", collection="poems")
    sent = await world.send(new=new)
    made = await world.store.conversations.get(world.owner, sent.conversation)
    assert (made.title, made.model, made.system_prompt, made.collection) == (
        "Love",
        "m",
        "be kind",
        "poems",
    )


async def test_the_same_id_again_gets_what_it_got(world: World) -> None:
    """Whatever changed since: the answer ended, a year went by, the conversation is busy."""
    ask = world.ask(jobs=(NewJob(kind=f"title-{world.tenant}"),))
    first = await world.store.sending.send(world.owner, ask)
    claimed = await world.store.internal.answers.claim(
        world.tenant, first.answer, await world.incarnation()
    )
    assert claimed is not None
    again = await world.store.sending.send(world.owner, ask)
    assert again == structs.replace(first, duplicate=True, rows=())
    await world.end(claimed.held, "hi")
    world.clock.advance(366 * 86_400_000)
    for _ in range(4):
        await world.send(conversation=first.conversation)
    late = structs.replace(ask, on_busy=OnBusy.REJECT, conversation="c_gone")
    assert await world.store.sending.send(world.owner, late) == again
    queued = await world.store.internal.jobs.lease(
        [f"title-{world.tenant}"], "me", limit=9, lease_ms=1000
    )
    assert len(queued) == 1


async def test_the_same_id_with_another_body_is_refused(world: World) -> None:
    """Also where it was used to ask for something else."""
    ask = world.ask()
    sent = await world.store.sending.send(world.owner, ask)
    with pytest.raises(IdConflict, match=ask.once.id):
        await world.store.sending.send(
            world.owner, structs.replace(ask, once=Once(ask.once.id, "other"))
        )
    with pytest.raises(IdConflict):
        await world.store.feedback.save(world.owner, ask.once, sent.message, rating="up")


async def test_what_an_id_got_can_be_recalled_without_sending(world: World) -> None:
    """As the same id sent again would get it, however the conversation went on."""
    recall, ask = world.store.sending.recall, world.ask()
    assert await recall(world.owner, ask.once) is None
    sent = await world.store.sending.send(world.owner, ask)
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=sent.answer)
    second = await world.store.sending.regenerate(world.owner, again)
    await world.store.conversations.delete(world.owner, sent.conversation)
    for once, got in ((ask.once, sent), (again.once, second)):
        assert await recall(world.owner, once) == structs.replace(got, duplicate=True, rows=())
        for stranger in (world.neighbour, world.foreigner):
            assert await recall(stranger, once) is None


async def test_recalling_uses_no_id_up(world: World) -> None:
    """Who was refused by a limit may send under the same id later."""
    ask = world.ask()
    for _ in range(2):
        assert await world.store.sending.recall(world.owner, ask.once) is None
    assert not (await world.store.sending.send(world.owner, ask)).duplicate


async def test_an_id_of_another_body_or_kind_is_not_recalled(world: World) -> None:
    """It is refused as sending it would be."""
    ask, rated = world.ask(), world.once()
    sent = await world.store.sending.send(world.owner, ask)
    await world.store.feedback.save(world.owner, rated, sent.answer, rating="up")
    for once in (Once(ask.once.id, "other"), rated):
        with pytest.raises(IdConflict, match=once.id):
            await world.store.sending.recall(world.owner, once)


async def test_recalling_beside_a_send_sees_all_of_it_or_nothing(world: World) -> None:
    """Nobody waits for anybody, and no half of a message is told."""
    for _ in range(20):
        ask = world.ask()
        sent, recalled = await asyncio.gather(
            world.store.sending.send(world.owner, ask),
            asyncio.gather(*(world.store.sending.recall(world.owner, ask.once) for _ in range(5))),
        )
        assert set(recalled) <= {None, structs.replace(sent, duplicate=True, rows=())}
        assert await world.store.sending.recall(world.owner, ask.once) is not None


async def test_an_id_is_its_users_own(world: World) -> None:
    """The same id from another user or tenant is an independent message."""
    ask = world.ask()
    sent = {
        (await world.store.sending.send(owner, ask)).message
        for owner in (world.owner, world.neighbour, world.foreigner)
    }
    assert len(sent) == 3


async def test_a_refused_message_leaves_its_id_unused(world: World) -> None:
    """What failed may be asked again under the same id, and then succeed."""
    _, held = await world.running()
    ask = world.ask(conversation=held.conversation, on_busy=OnBusy.REJECT)
    with pytest.raises(Busy):
        await world.store.sending.send(world.owner, ask)
    await world.end(held)
    assert not (await world.store.sending.send(world.owner, ask)).duplicate


async def test_a_thousand_racing_sends_of_one_id_are_one_message(world: World) -> None:
    """One of them did it, and all of them know."""
    ask = world.ask()
    results = await asyncio.gather(
        *(world.store.sending.send(world.owner, ask) for _ in range(RACERS))
    )
    assert sum(not sent.duplicate for sent in results) == 1
    assert len({(sent.message, sent.answer, sent.numbers) for sent in results}) == 1
    (row,) = await world.rows(
        "SELECT COUNT(*) AS n FROM messages WHERE tenant = :tenant", tenant=world.tenant
    )
    assert row == {"n": 2}


@pytest.mark.row(12)
async def test_racing_sends_to_one_conversation_number_without_holes(world: World) -> None:
    """Each takes the next two numbers, whoever commits first."""
    first = await world.send()
    sends = [world.send(conversation=first.conversation, max_queued=1000) for _ in range(60)]
    sent = await asyncio.gather(*sends)
    assert await world.numbers(first.conversation) == list(range(1, 2 * 61 + 1))
    assert sorted(one.queued for one in sent) == list(range(1, 61))
    assert all(one.numbers[1] == one.numbers[0] + 1 for one in sent)


async def test_three_answers_may_wait_behind_the_one_that_runs(world: World) -> None:
    """The fifth message is told that the conversation is busy, and by what."""
    first, _ = await world.running()
    queued = [await world.send(conversation=first.conversation) for _ in range(3)]
    assert [sent.queued for sent in queued] == [1, 2, 3]
    with pytest.raises(Busy) as refused:
        await world.send(conversation=first.conversation)
    assert refused.value.holder == first.answer


async def test_racing_sends_cannot_exceed_the_queue(world: World) -> None:
    """What is ahead is counted under the conversation's lock."""
    first, _ = await world.running()
    attempts: list[Coroutine[object, object, Sent]] = [
        world.send(conversation=first.conversation) for _ in range(30)
    ]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, Sent) for result in results) == 3
    assert sum(isinstance(result, Busy) for result in results) == 27


async def test_reject_refuses_while_anything_is_unfinished(world: World) -> None:
    """Also while an answer is parked: it keeps its conversation busy."""
    first, held = await world.running()
    await world.store.internal.answers.park(held, REQUEST)
    with pytest.raises(Busy):
        await world.send(conversation=first.conversation, on_busy=OnBusy.REJECT)


async def test_interrupt_ends_what_waits_and_asks_what_runs_to_stop(world: World) -> None:
    """The new message is queued behind what runs, and its numbers come after the ends."""
    first, held = await world.running()
    second = await world.send(conversation=first.conversation)
    third = await world.interrupt(first.conversation)
    assert [(end.answer, end.finish_reason) for end in third.ended] == [
        (second.answer, FinishReason.SUPERSEDED)
    ]
    assert [stop.answer for stop in third.stopping] == [first.answer]
    assert third.queued == 1
    assert (await world.answer(first.answer)).stop is FinishReason.SUPERSEDED
    end = await world.end(held, "so far")
    assert (end.outcome, end.finish_reason) == (Outcome.STOPPED, FinishReason.SUPERSEDED)
    assert end.number < third.numbers[0]
    assert await world.numbers(first.conversation) == list(range(1, 9))


async def test_interrupt_ends_a_parked_answer_at_once(world: World) -> None:
    """Nobody owns it, so nobody need be asked; its text is kept and nothing is ahead any more."""
    first, held = await world.running()
    await world.write(held, 0, "so far")
    await world.store.internal.answers.park(held, REQUEST)
    second = await world.interrupt(first.conversation, incarnation=await world.incarnation())
    assert ([end.answer for end in second.ended], second.queued, second.fence) == (
        [first.answer],
        0,
        1,
    )
    assert (await world.store.history.message(world.owner, first.answer)).content == "so far"


async def test_interrupting_twice_reserves_one_end(world: World) -> None:
    """The second interrupt ends the first one's answer and finds the running one asked already."""
    first, held = await world.running()
    second = await world.interrupt(first.conversation)
    third = await world.interrupt(first.conversation)
    assert [end.answer for end in third.ended] == [second.answer]
    await world.end(held)
    assert await world.numbers(first.conversation) == list(range(1, 9))


async def test_interrupt_of_an_idle_conversation_is_an_ordinary_send(world: World) -> None:
    """Nothing ended, nothing to wake."""
    first = await world.exchange()
    second = await world.interrupt(first.conversation)
    assert (second.queued, second.ended, second.stopping) == (0, (), ())


async def test_regenerating_puts_an_answer_beside_the_first(world: World) -> None:
    """Both answer the same message, and nothing is deleted."""
    first = await world.exchange(text="one")
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    second = await world.store.sending.regenerate(world.owner, again)
    assert (second.message, second.created, second.numbers) == (first.message, False, (4,))
    branch = await world.store.history.branch(world.owner, first.conversation)
    assert [message.id for message in branch.messages] == [first.message, second.answer]
    assert branch.messages[-1].siblings == (first.answer, second.answer)
    assert (await world.store.sending.regenerate(world.owner, again)).duplicate


async def test_a_message_has_so_many_children_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them tells all its siblings. What is refused stores nothing, not even its id."""
    monkeypatch.setattr(asked, "SIBLINGS", 2)
    first = await world.exchange()
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    await world.store.sending.regenerate(world.owner, again)
    further = structs.replace(again, once=world.once())
    with pytest.raises(TooMany):
        await world.store.sending.regenerate(world.owner, further)
    assert await world.store.sending.recall(world.owner, further.once) is None
    assert (await world.store.sending.regenerate(world.owner, again)).duplicate
    kept = await world.store.conversations.get(world.owner, first.conversation)
    assert kept.message_count == 3


async def test_editing_puts_a_message_beside_the_first_and_an_answer_below_it(
    world: World,
) -> None:
    """Also where the first message of a conversation is edited."""
    first = await world.exchange("helo")
    edit = Edit(
        once=world.once(), request=REQUEST, max_queued=3, message=first.message, content="hello"
    )
    second = await world.store.sending.edit(world.owner, edit)
    branch = await world.store.history.branch(world.owner, first.conversation)
    assert [message.id for message in branch.messages] == [second.message, second.answer]
    assert branch.messages[0].siblings == (first.message, second.message)
    assert branch.messages[0].parent is None
    assert (await world.store.sending.edit(world.owner, edit)).duplicate


async def test_only_answers_are_regenerated_and_only_own_words_edited(world: World) -> None:
    """The other kind of message has no such sibling."""
    sent = await world.exchange()
    with pytest.raises(NotFound):
        await world.store.sending.regenerate(
            world.owner,
            Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=sent.message),
        )
    with pytest.raises(NotEditable):
        await world.store.sending.edit(
            world.owner,
            Edit(
                once=world.once(), request=REQUEST, max_queued=3, message=sent.answer, content="x"
            ),
        )


async def test_jobs_are_enqueued_with_their_message_or_not_at_all(world: World) -> None:
    """A message that is refused causes no work."""
    kind = f"title-{world.tenant}"
    first, _ = await world.running(jobs=(NewJob(kind=kind, dedupe="a"),))
    with pytest.raises(Busy):
        await world.send(
            conversation=first.conversation,
            on_busy=OnBusy.REJECT,
            jobs=(NewJob(kind=kind, dedupe="b"),),
        )
    leased = await world.store.internal.jobs.lease([kind], "me", limit=9, lease_ms=1000)
    assert [job.dedupe for job in leased] == ["a"]


async def test_a_deleted_conversation_takes_no_message(world: World) -> None:
    """It is as if it had never been."""
    sent = await world.exchange()
    await world.store.conversations.delete(world.owner, sent.conversation)
    with pytest.raises(NotFound, match=sent.conversation):
        await world.send(conversation=sent.conversation)


async def test_whatever_was_said_comes_back_as_it_was(world: World) -> None:
    """No character is special on the way, in JSON, in SQL or in a bind."""
    content = "':x' \"%s\" \\ \n $1 ::int {} 👩‍👩‍👧 \u202e \x01 ' OR 1=1 --"
    sent = await world.exchange(content, content)
    branch = await world.store.history.branch(world.owner, sent.conversation)
    assert [message.content for message in branch.messages] == [content, content]
