"""Answers that nobody runs: taken once, and run or ended, never both."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw

from protocol.frames.from_server import Citation
from server.generation import request
from server.generation.request import Request
from server.providers.base import CallsTool, Cites
from server.streams.shapes import citations
from storage.errors import Unavailable
from storage.records import Answer, Sent
from storage.values import Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Puppet, Scene, done
from tests.support.rows import World
from tests.support.waiting import PATIENCE_S, pause, until

SOURCES = Raw(b'[{"document":"d","title":"t","snippet":"s","score":1.0}]')
NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
ASKED: dict[str, Any] = {"request": request.encode(Request())}


async def died(world: World, text: str = "", **more: Any) -> Sent:
    """An answer whose process is dead, after a checkpoint of this text."""
    sent, held = await world.running(**{**ASKED, **more})
    if text:
        await world.write(held, 0, text)
    return sent


async def ended_as(scene: Scene, sent: Sent) -> tuple[str, str, str]:
    """Its outcome, its reason, and its text."""
    message = await scene.message(sent)
    assert message.answered is not None
    assert message.answered.outcome is not None
    assert message.answered.finish_reason is not None
    return message.answered.outcome, message.answered.finish_reason, message.content


async def test_what_the_dead_were_saying_is_interrupted(make: Makes, world: World) -> None:
    """With the text of the last checkpoint; more may have been shown, so it is not said again."""
    sent = await died(world, "half an ans")
    scene = await make()
    await scene.idle()
    assert await ended_as(scene, sent) == ("interrupted", "crash", "half an ans")
    assert scene.puppet.requests == []
    assert await scene.spent() == Spent(1, 11, 0)
    (line,) = scene.lines
    assert (line.answer, line.model, line.outcome) == (sent.answer, "puppet", "interrupted")


async def test_silence_of_a_lost_log_proves_nothing(make: Makes, world: World) -> None:
    """It may have been shown within the second before the crash."""
    sent = await died(world)
    scene = await make()
    await scene.idle()
    assert await ended_as(scene, sent) == ("interrupted", "crash", "")
    assert await scene.spent() == Spent()


async def test_what_waited_runs(make: Makes, world: World) -> None:
    """One after the other, behind the one that was interrupted."""
    first = await died(world, "half")
    second = await world.send(conversation=first.conversation, **ASKED)
    third = await world.send(conversation=first.conversation, **ASKED)
    scene = await make(own={"puppet": _saying("two", "three")})
    await scene.idle()
    assert await ended_as(scene, first) == ("interrupted", "crash", "half")
    assert await ended_as(scene, second) == ("complete", "stop", "two")
    assert await ended_as(scene, third) == ("complete", "stop", "three")


async def test_no_more_of_what_waited_is_begun_than_there_is_room_for(
    make: Makes, world: World
) -> None:
    """However much a crash has left; the rest comes as that ends. What was running is seen to."""
    died_with = [await died(world, "half") for _ in range(3)]
    waiting = [await world.send(**ASKED) for _ in range(5)]
    gate, puppet = asyncio.Event(), Puppet()
    puppet.scripts += [[gate, "text", done(tokens=4)] for _ in waiting]
    scene = await make(concurrent=2, own={"puppet": puppet})
    await until(lambda: puppet.open)
    assert scene.supervisor.running == 2
    await until(lambda: len(scene.lines) == 3)
    assert [await ended_as(scene, sent) for sent in died_with] == [
        ("interrupted", "crash", "half")
    ] * 3
    gate.set()
    await scene.idle()
    assert [(await scene.message(sent)).content for sent in waiting] == ["text"] * 5


def _saying(*texts: str) -> Puppet:
    puppet = Puppet()
    puppet.scripts += [[text, done(tokens=len(text))] for text in texts]
    return puppet


async def test_a_stop_from_before_the_crash_is_honoured(make: Makes, world: World) -> None:
    """Whoever asked was told that it stops."""
    sent = await died(world, "half")
    await world.store.sending.stop(world.owner, sent.answer)
    scene = await make()
    await scene.idle()
    assert await ended_as(scene, sent) == ("stopped", "stopped", "half")


async def test_a_parked_answer_stays_parked(make: Makes, world: World) -> None:
    """It waits for a person, not for a process."""
    before = await make()
    asks = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")
    before.plays(["text", asks, done(None, 4)])
    sent = await before.send()
    await before.idle()
    scene = await make()
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"


async def test_calls_of_the_dead_are_closed(make: Makes, world: World) -> None:
    """What was running may have taken effect; and nobody knows what the text cost by itself."""
    scene = await make()
    scene.plays(["text", NOON, done(None, 4)], ["more", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "textmore")
    await scene.supervisor.checkpoint()
    await world.run("UPDATE tool_calls SET state = 'running'")
    later = await make()
    await later.idle()
    assert await ended_as(later, sent) == ("interrupted", "crash", "textmore")
    (call,) = await world.store.internal.tools.of_answer(world.tenant, sent.answer)
    assert call.state == "unknown"
    assert await later.spent() == Spent(1, 4, 0)
    await scene.supervisor.checkpoint()  # the old process learns that it lost it
    await scene.idle()


async def test_an_answer_whose_making_cannot_be_read_is_ended(make: Makes, world: World) -> None:
    """Its model is gone, or its conversation."""
    gone = await died(world, "one", model="gone")
    deleted = await died(world, "two")
    await world.store.conversations.delete(world.owner, deleted.conversation)
    scene = await make()
    await scene.idle()
    assert await ended_as(scene, gone) == ("interrupted", "crash", "one")
    assert {line.outcome for line in scene.lines} == {"interrupted", "stopped"}


# ── between processes that share a log ───────────────────────────────────────────────────────────


async def test_where_the_log_shows_that_nothing_was_shown_it_runs(make: Makes) -> None:
    """In another process, from the beginning, in the same attempt; the old one writes no more."""
    scene = await make()
    gate = asyncio.Event()
    scene.plays([gate, "old", done()], ["new", done(tokens=3)])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    second = await scene.another()
    await scene.until(lambda: len(scene.puppet.requests) == 2)
    await scene.until(lambda: second.running == 0)
    gate.set()
    await scene.supervisor.checkpoint()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.attempt, complete.length) == ("complete", 1, 3)
    assert [one.outcome for one in scene.lines] == ["complete"]


@pytest.mark.parametrize("checkpointed", [True, False])
async def test_where_something_was_shown_it_is_interrupted(
    make: Makes, *, checkpointed: bool
) -> None:
    """However little; and what the log has beyond the checkpoint belongs to it."""
    scene = await make()
    first, gate = asyncio.Event(), asyncio.Event()
    scene.plays(["x👋", first, "yz", gate, "never", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "x👋")
    if checkpointed:
        await scene.supervisor.checkpoint()
    first.set()
    await scene.shown(sent.conversation, "x👋yz")
    await scene.another()
    gate.set()
    await scene.supervisor.checkpoint()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("interrupted", "crash")
    assert (complete.length, await scene.spent()) == (5, Spent(1, 4, 0))


async def test_citations_beyond_the_checkpoint_belong_to_it_too(make: Makes) -> None:
    """As text does: they were shown."""
    scene = await make()
    gates = [asyncio.Event(), asyncio.Event()]
    cites = [Cites(start=0, end=end, sources=SOURCES) for end in (3, 4)]
    scene.plays(["text", cites[0], gates[0], cites[1], gates[1], "never", done()])
    sent = await scene.send()
    await until_cited(scene, sent, 1)
    await scene.supervisor.checkpoint()
    gates[0].set()
    await until_cited(scene, sent, 2)
    await scene.another()
    gates[1].set()
    await scene.supervisor.checkpoint()
    await scene.idle()
    answered = (await scene.message(sent)).answered
    assert answered is not None
    assert [cited.end for cited in citations(answered.citations)] == [3, 4]


async def until_cited(scene: Scene, sent: Sent, count: int) -> None:
    """Until so many citations were told."""
    async with asyncio.timeout(PATIENCE_S):
        while (
            sum(isinstance(one, Citation) for one in await scene.frames(sent.conversation)) < count
        ):
            await pause()


async def test_without_proof_of_death_the_living_keep_their_answers(make: Makes) -> None:
    """Nobody takes what belongs to one whose life signs come."""
    scene = await make(own={"proof_of_death": False})
    gate = asyncio.Event()
    scene.plays(["x", gate, "y", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "x")
    other = await scene.another()
    for _ in range(4):
        scene.world.clock.advance(3_000)
        scene.time.now += 3
        for process in scene.supervisors:
            await process.beat()
            await process.sweep()
    assert other.running == 0
    gate.set()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_without_proof_of_death_silence_is_waited_for(make: Makes) -> None:
    """9 s of it, by one that has itself been seen for longer."""
    scene = await make(own={"proof_of_death": False})
    scene.plays(["x", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "x")
    await scene.supervisor.checkpoint()
    other = await scene.another()
    for _ in range(5):
        scene.world.clock.advance(3_000)
        scene.time.now += 3
        await other.beat()
        await other.sweep()
    await scene.until(lambda: scene.lines)
    assert [line.outcome for line in scene.lines] == ["interrupted"]
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "crash"


# ── replies that did not come ────────────────────────────────────────────────────────────────────


async def test_an_answer_that_was_got_without_a_reply_is_run(scene: Scene) -> None:
    """Whoever asked was told `unavailable`, and asks again with the same id."""
    sent = await scene.send(start=False)
    scene.plays(["text", done(tokens=4)])
    await scene.supervisor.sweep()
    await scene.idle()
    assert scene.puppet.requests == []  # it may have been stored just now
    await scene.supervisor.sweep()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_an_answer_taken_without_a_reply_is_not_run(make: Makes, world: World) -> None:
    """It is the dead's, and was shown perhaps."""
    sent = await died(world, "half")
    ownership = world.store.internal.ownership
    take_over = ownership.take_over

    async def unheard(*args: Any, **kwargs: Any) -> Answer | None:
        ownership.take_over = take_over  # type: ignore[method-assign]
        await take_over(*args, **kwargs)
        raise Unavailable("no reply", outcome_unknown=True)

    ownership.take_over = unheard  # type: ignore[method-assign]
    scene = await make()
    assert (await scene.answer(sent)).state == "running"
    await scene.supervisor.sweep()  # at once: nobody else can be about to start it
    await scene.idle()
    assert await ended_as(scene, sent) == ("interrupted", "crash", "half")
    assert scene.puppet.requests == []


async def test_what_another_took_is_not_doubted_when_it_comes_here_later(
    make: Makes, world: World
) -> None:
    """A call to take it failed, and was too late: who took it let go of it in good order."""
    sent = await died(world)
    ownership = world.store.internal.ownership
    take_over = ownership.take_over

    async def outrun(*args: Any, **kwargs: Any) -> Answer | None:
        ownership.take_over = take_over  # type: ignore[method-assign]
        await world.run("UPDATE answers SET fence = fence + 1, incarnation = 'i_other'")
        raise Unavailable("no reply", outcome_unknown=True)

    ownership.take_over = outrun  # type: ignore[method-assign]
    scene = await make(own={"puppet": _saying("all of it")})
    await world.run(
        "UPDATE answers SET fence = fence + 1, incarnation = :own",
        own=scene.supervisor.incarnation or "",
    )
    for _ in range(2):
        await scene.supervisor.sweep()
    await scene.idle()
    assert await ended_as(scene, sent) == ("complete", "stop", "all of it")


async def test_what_has_ended_meanwhile_is_not_begun_again(scene: Scene) -> None:
    """The sweeper's list was read while the answer still ran."""
    ownership = scene.store.internal.ownership
    held_by = ownership.held_by
    gate = asyncio.Event()

    async def old_news(incarnation: str) -> list[Answer]:
        found = await held_by(incarnation)
        gate.set()
        await scene.until(lambda: scene.lines)
        return found

    scene.plays(["text", gate, done(tokens=4)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    scene.supervisor._not_run = {sent.answer}
    ownership.held_by = old_news  # type: ignore[method-assign]
    await scene.supervisor.sweep()
    await scene.idle()
    assert len(scene.puppet.requests) == 1
    assert (await scene.complete(sent)).outcome == "complete"


# ── many ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("many", [250])
async def test_hundreds_are_taken_and_each_ends_once(make: Makes, world: World, many: int) -> None:
    """More than a page of them."""
    dead = await world.incarnation()
    sent = [await world.send(incarnation=dead, **ASKED) for _ in range(many)]
    await asyncio.gather(*(world.write(world.held(one), 0, "x") for one in sent[::2]))
    scene = await make()
    await scene.idle()
    assert len(scene.lines) == many
    assert {line.answer for line in scene.lines} == {one.answer for one in sent}
    assert {line.outcome for line in scene.lines} == {"interrupted"}
