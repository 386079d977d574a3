"""Answers whose log is out of reach for a while: they go on, and at last all have the same."""

import asyncio

import pytest

from protocol.frames.from_server import Chunk, Complete
from server.generation import request, supervisor
from server.generation.request import Request
from server.providers.base import CallsTool
from storage.log import Retention
from storage.memory.log import MemoryLog
from storage.records import Ended, Ending, Held, Sent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Scene, done
from tests.support.place import Listener
from tests.support.waiting import pause

NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")


async def stored(scene: Scene, sent: Sent) -> str:
    """What SQL has of an answer that has not ended."""
    opening = await scene.store.internal.answers.opening(scene.world.tenant, sent.conversation)
    return next(one.text for one in opening.unfinished if one.answer.id == sent.answer)


async def turns(count: int = 20) -> None:
    """Time for whoever could do something now."""
    for _ in range(count):
        await pause()


async def said(scene: Scene, *texts: str) -> None:
    """Until the model has said all that, and it was read."""
    await scene.until(lambda: scene.puppet.said == list(texts))
    await turns(3)


# ── who goes on ──────────────────────────────────────────────────────────────────────────────────


async def test_text_goes_to_sql_while_the_log_is_away_and_then_to_the_log(scene: Scene) -> None:
    """In order, folded; and the answer ends once all of it stands there."""
    gates = [asyncio.Event() for _ in range(2)]
    scene.plays(["one ", gates[0], "two ", "three ", gates[1], "four", done(tokens=18)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gates[0].set()
    await said(scene, "one ", "two ", "three ")
    await scene.supervisor.checkpoint()
    assert await stored(scene, sent) == "one two three "
    gates[1].set()
    await turns()
    assert (await scene.answer(sent)).state == "running"
    await scene.supervisor.checkpoint()
    assert await stored(scene, sent) == "one two three four"
    assert scene.text_of(await scene.frames(sent.conversation)) == "one "
    scene.log.gone = False
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("complete", 18)


async def test_what_gathered_comes_as_one_chunk(make: Makes) -> None:
    """Devices come level with a few frames, however many tokens there were."""
    scene = await make(own={"gather_ms": 1.0})
    gate = asyncio.Event()
    scene.plays(["one ", gate, *["x"] * 500, done(tokens=504)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    await scene.until(lambda: len(scene.puppet.said) == 501)
    await scene.supervisor.checkpoint()
    scene.log.gone = False
    await scene.idle()
    chunks = [one for one in await scene.frames(sent.conversation) if isinstance(one, Chunk)]
    assert len(chunks) <= 3
    assert (await scene.complete(sent)).length == 504


async def test_no_bound_but_the_answers_own_holds_what_gathers(scene: Scene) -> None:
    """More than the 64 KiB at which a model waits for a log that answers."""
    gate, piece = asyncio.Event(), "x" * 1000
    scene.plays(["one ", gate, *[piece] * 150, done(tokens=1)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    await scene.until(lambda: len(scene.puppet.said) == 151)
    scene.log.gone = False
    await scene.idle()
    assert (await scene.complete(sent)).length == 150_004
    bodies = [append.body for batch in scene.log.appends for append in batch]
    assert max(map(len, bodies)) < 256 * 1024


async def test_a_log_that_is_lost_while_it_is_away_is_told_all(scene: Scene) -> None:
    """A restart of its store: everybody comes again, and gets the whole."""
    gates = [asyncio.Event(), asyncio.Event()]
    scene.plays(["one ", gates[0], "two ", gates[1], "three", done(tokens=13)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gates[0].set()
    await said(scene, "one ", "two ")
    await scene.supervisor.checkpoint()
    await scene.real_log.drop([sent.conversation])
    scene.log.gone = False
    gates[1].set()
    await scene.idle()
    chunks = [one for one in await scene.frames(sent.conversation) if isinstance(one, Chunk)]
    assert (chunks[0].offset, "".join(one.text for one in chunks)) == (0, "one two three")
    assert (await scene.message(sent)).content == "one two three"


async def test_a_model_that_is_finished_is_not_late(scene: Scene) -> None:
    """However long its log is away."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", done(tokens=7)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    run = scene.supervisor._runs[sent.answer]
    await scene.until(lambda: run.decided)
    for _ in range(5):
        scene.time.now += 100
        await scene.supervisor.beat()
        await scene.supervisor.tick()
        await scene.supervisor.checkpoint()
    scene.log.gone = False
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_who_waits_for_its_log_and_loses_the_answer_leaves_off(scene: Scene) -> None:
    """It hears of it with its next checkpoint, as ever."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", done(tokens=7)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    run = scene.supervisor._runs[sent.answer]
    await scene.until(lambda: run.decided)
    taker = await scene.world.incarnation()
    seen = await scene.answer(sent)
    await scene.store.internal.ownership.take_over(seen, taker, proof_of_death=True)
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert scene.lines == []
    assert (await scene.answer(sent)).incarnation == taker


async def test_an_answer_that_has_not_begun_waits_for_its_log(scene: Scene) -> None:
    """Nothing is asked of a model before its log was told of the message."""
    scene.log.gone = True
    asked = request.encode(Request())
    sent = await scene.world.send(incarnation=scene.supervisor.incarnation, request=asked)
    assert sent.run is not None
    scene.supervisor.start(sent.run)
    await turns()
    assert scene.puppet.requests == []
    scene.plays(["text", done(tokens=4)])
    scene.log.gone = False
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


# ── who is to leave off ──────────────────────────────────────────────────────────────────────────


async def test_a_stop_is_heard_with_the_next_checkpoint(scene: Scene) -> None:
    """The model is let go of at once; the end comes when the log is back."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two ", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    await said(scene, "one ", "two ")
    await scene.stop(sent.answer, wake=False)
    await scene.supervisor.checkpoint()
    await scene.until(lambda: not scene.puppet.open)
    assert (await scene.answer(sent)).state == "running"
    scene.log.gone = False
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("stopped", 8)


async def test_a_stop_keeps_what_sql_was_given_and_drops_the_rest(scene: Scene) -> None:
    """A snapshot may have shown it; of what came behind it nobody has heard."""
    gates = [asyncio.Event() for _ in range(3)]
    scene.plays(["one ", gates[0], "😀 ", gates[1], "drop ", gates[2], "never", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gates[0].set()
    await said(scene, "one ", "😀 ")
    await turns(150)  # until the log was asked, and did not answer
    await scene.supervisor.checkpoint()
    assert await stored(scene, sent) == "one 😀 "
    gates[1].set()
    await said(scene, "one ", "😀 ", "drop ")
    await scene.stop(sent.answer)
    await scene.until(lambda: not scene.puppet.open)
    await scene.supervisor.checkpoint()
    assert await stored(scene, sent) == "one 😀 "
    scene.log.gone = False
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, (await scene.message(sent)).content) == ("stopped", "one 😀 ")


async def test_a_drain_leaves_what_waits_for_its_log_to_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that the model had said."""
    monkeypatch.setattr(supervisor, "CUT_SHORT_S", 0.05)
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two ", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gone = True
    gate.set()
    await said(scene, "one ", "two ")
    drained = asyncio.create_task(scene.supervisor.drain(0))
    await scene.until(lambda: scene.supervisor._runs[sent.answer].decided)
    scene.time.now += 1
    await drained
    assert (scene.puppet.open, scene.supervisor.running) == (0, 0)
    other = await scene.apart()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("interrupted", "crash")
    assert (await scene.message(sent)).content == "one two "
    assert other.supervisor.running == 0


# ── who takes over ───────────────────────────────────────────────────────────────────────────────


async def away_with(scene: Scene, *texts: str) -> Sent:
    """An answer whose first text was told, and whose others SQL alone has."""
    gate = asyncio.Event()
    first, *others = texts
    scene.plays([first, gate, *others, asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, first)
    await scene.supervisor.checkpoint()
    scene.log.gone = True
    gate.set()
    await said(scene, *texts)
    await turns(150)
    await scene.supervisor.checkpoint()
    assert await stored(scene, sent) == "".join(texts)
    return sent


async def leave_off(scene: Scene) -> None:
    """The old owner's link is back, and it learns what became of its answer."""
    scene.log.gone = False
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert scene.puppet.open == 0


async def test_a_taker_tells_what_sql_has_beyond_the_log(scene: Scene) -> None:
    """Then the end; whoever followed has it all, and the old owner adds nothing."""
    sent = await away_with(scene, "one ", "two 😀 ", "three")
    await scene.apart()
    await scene.until(lambda: scene.lines)
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("interrupted", "crash")
    assert (await scene.message(sent)).content == "one two 😀 three"
    frames = await scene.frames(sent.conversation)
    await leave_off(scene)
    assert await scene.frames(sent.conversation) == frames


async def test_what_sql_alone_has_is_not_said_again(scene: Scene) -> None:
    """The log is whole and shows nothing of it, and yet a snapshot may have."""
    gate = asyncio.Event()
    scene.plays([gate, "one", asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await turns()
    scene.log.gone = True
    gate.set()
    await said(scene, "one")
    await turns(150)
    await scene.supervisor.checkpoint()
    await scene.apart()
    await scene.until(lambda: scene.lines)
    assert (await scene.complete(sent)).finish_reason == "crash"
    assert ((await scene.message(sent)).content, len(scene.puppet.requests)) == ("one", 1)
    await leave_off(scene)


async def test_tools_that_were_called_are_not_called_again(make: Makes) -> None:
    """Their rows alone tell of them."""
    scene = await make()
    gate = asyncio.Event()
    scene.plays([gate, NOON, done(None, 4)], [asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await turns()
    scene.log.gone = True
    gate.set()
    await scene.until(lambda: len(scene.puppet.requests) == 2)
    await scene.apart()
    await scene.until(lambda: scene.lines)
    assert (await scene.complete(sent)).finish_reason == "crash"
    assert len(scene.puppet.requests) == 2
    await leave_off(scene)


async def test_where_nobody_knows_what_was_told_the_log_begins_anew(make: Makes) -> None:
    """What it told of the answer was trimmed, for SQL has it, and more."""
    scene = await make(own={"real_log": MemoryLog(Retention(entries=1))})
    sent = await away_with(scene, "one ", "two ")
    other = scene.apart_idle()
    before = await other.hub.head(sent.conversation)
    assert before is not None
    await scene.world.send(conversation=sent.conversation)
    await other.hub.tell(scene.world.tenant, sent.conversation)  # in the place of what was told
    listener = Listener()
    await other.hub.join(scene.world.tenant, sent.conversation, listener, before)
    await other.supervisor.recover()
    await scene.until(lambda: scene.lines)
    assert listener.lost == 1
    after = await other.hub.head(sent.conversation)
    assert after is not None
    assert after.epoch != before.epoch
    assert (await scene.message(sent)).content == "one two "
    assert scene.text_of(await scene.frames(sent.conversation)) in ("", "one two ")
    await leave_off(scene)


async def test_a_new_epoch_is_told_all_by_the_taker(scene: Scene) -> None:
    """Somebody opened it while the owner was cut off, and followers came to it with less."""
    sent = await away_with(scene, "one ", "two ")
    await scene.real_log.drop([sent.conversation])
    other = scene.apart_idle()
    position = await other.hub.position(scene.world.tenant, sent.conversation)
    assert position.seq == 0
    await other.supervisor.recover()
    await scene.until(lambda: scene.lines)
    chunks = [one for one in await scene.frames(sent.conversation) if isinstance(one, Chunk)]
    assert (chunks[0].offset, "".join(one.text for one in chunks)) == (0, "one two ")
    assert (await scene.complete(sent)).length == 8
    await leave_off(scene)


async def test_a_taker_without_a_log_waits_for_it(scene: Scene) -> None:
    """The answer is its own by then, and is seen to with a later look."""
    sent = await away_with(scene, "one ", "two ")
    other = scene.apart_idle()
    other.log.gone = True
    await other.supervisor.recover()
    assert (await scene.answer(sent)).incarnation == other.supervisor.incarnation
    for _ in range(3):
        await other.supervisor.sweep()
    assert scene.lines == []
    other.log.gone = False
    await other.supervisor.sweep()
    await scene.until(lambda: scene.lines)
    assert (await scene.complete(sent)).length == 8
    await leave_off(scene)


async def test_what_the_log_has_beyond_sql_is_stored_before_it_may_be_lost(scene: Scene) -> None:
    """The taker's own log is lost on its way to the end; the text is told again, all of it."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    await scene.supervisor.checkpoint()
    gate.set()
    await scene.shown(sent.conversation, "one two")
    answers = scene.store.internal.answers
    end = answers.end

    async def end_after_a_loss(held: Held, how: Ending) -> Ended:
        answers.end = end  # type: ignore[method-assign]
        await scene.real_log.drop([sent.conversation])
        return await end(held, how)

    answers.end = end_after_a_loss  # type: ignore[method-assign]
    await scene.apart()
    await scene.until(lambda: scene.lines)
    assert (await scene.message(sent)).content == "one two"
    frames = await scene.frames(sent.conversation)
    assert frames == []  # whoever comes finds it in SQL, and nobody is told half of it
    await leave_off(scene)


# ── who is not sure of itself ────────────────────────────────────────────────────────────────────


async def test_nothing_that_gathered_is_told_by_one_who_is_not_sure_of_itself(
    make: Makes,
) -> None:
    """Its store is away for longer than its life signs count; then it goes on where it was."""
    scene = await make(own={"gather_ms": 1.0})
    gates = [asyncio.Event(), asyncio.Event()]
    scene.plays(["one ", gates[0], "two ", gates[1], "three", done(tokens=13)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.log.gate.clear()
    asked = len(scene.log.appends)
    gates[0].set()
    await scene.until(lambda: len(scene.log.appends) > asked)
    gates[1].set()
    await said(scene, "one ", "two ", "three")
    scene.time.now += 9
    await scene.supervisor.tick()
    scene.log.gate.set()
    await turns()
    assert scene.text_of(await scene.frames(sent.conversation)) == "one two "
    await scene.supervisor.beat()
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert (await scene.complete(sent)).length == 13


async def test_a_zombie_says_nothing_more(make: Makes) -> None:
    """It wakes up after another took its answer: not a chunk comes, and its model is closed."""
    scene = await make(own={"proof_of_death": False, "gather_ms": 1.0})
    gate = asyncio.Event()
    scene.plays(["one ", gate, *["more "] * 20, asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    await scene.supervisor.checkpoint()
    other = await scene.apart()
    for _ in range(5):  # in which the owner is not heard of
        scene.world.clock.advance(3_000)
        scene.time.now += 3
        await other.supervisor.beat()
        await other.supervisor.sweep()
    await scene.until(lambda: scene.lines)
    frames = await scene.frames(sent.conversation)
    assert isinstance(frames[-1], Complete)
    gate.set()  # it wakes up, and all that waited for it comes at once
    await scene.until(lambda: len(scene.puppet.said) == 21)
    await scene.supervisor.tick()
    await scene.supervisor.beat()
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert scene.puppet.open == 0
    assert await scene.frames(sent.conversation) == frames
    assert [line.finish_reason for line in scene.lines] == ["crash"]
