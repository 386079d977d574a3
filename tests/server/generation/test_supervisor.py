"""Who owns answers: starting, queueing, looking after, and letting go of them."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from msgspec import structs

from server.generation import request, supervisor
from server.generation.request import Request
from server.generation.supervisor import STALE_S
from server.providers.base import CallsTool, Thinking
from storage.errors import Unavailable
from storage.records import Sent, Stopping, ToolCall
from storage.values import Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Act, Scene, done
from tests.support.place import Listener

NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
ASKS = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")


async def test_answers_of_a_conversation_run_one_after_the_other(scene: Scene) -> None:
    """In the order of their messages, each knowing what the one before it said."""
    gate = asyncio.Event()
    scene.plays(["one", gate, done(tokens=3)], ["two", done(tokens=3)], ["three", done(tokens=5)])
    first = await scene.send("a")
    second = await scene.send("b", conversation=first.conversation)
    third = await scene.send("c", conversation=first.conversation)
    assert [sent.queued for sent in (first, second, third)] == [0, 1, 2]
    gate.set()
    await scene.idle()
    for sent, text in ((first, "one"), (second, "two"), (third, "three")):
        assert (await scene.message(sent)).content == text
    last = [turn.content for turn in scene.puppet.requests[2].turns]
    assert last == ["a", "one", "b", "two", "c"]
    ends = await scene.ends(first.conversation)
    assert [answer for answer, _ in ends] == [first.answer, second.answer, third.answer]


async def test_a_stopped_answer_in_the_queue_is_passed_over(scene: Scene) -> None:
    """It ended without having run."""
    gate = asyncio.Event()
    scene.plays(["one", gate, done()], ["three", done()])
    first = await scene.send()
    second = await scene.send(conversation=first.conversation)
    third = await scene.send(conversation=first.conversation)
    await scene.stop(second.answer)
    gate.set()
    await scene.idle()
    assert (await scene.message(third)).content == "three"
    assert len(scene.puppet.requests) == 2


async def test_starting_twice_is_starting_once(scene: Scene) -> None:
    """Whoever hears of it first."""
    gate = asyncio.Event()
    scene.plays([gate, "text", done()])
    sent = await scene.send()
    assert sent.run is not None
    scene.supervisor.start(sent.run)
    assert scene.supervisor.running == 1
    gate.set()
    await scene.idle()
    assert len(scene.puppet.requests) == 1


async def test_an_answer_that_came_back_replaces_its_old_run(scene: Scene) -> None:
    """It was let go of and taken up again before the old run had noticed."""
    gate = asyncio.Event()
    scene.plays([gate, "old", done()], ["new", done()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await scene.world.run("UPDATE answers SET fence = 7")
    scene.supervisor.start(await scene.answer(sent))
    await scene.idle()
    assert (await scene.message(sent)).content == "new"
    assert [line.outcome for line in scene.lines] == ["complete"]


async def test_only_so_many_answers_are_made_at_once(make: Makes) -> None:
    """The others wait, and are begun as soon as there is room."""
    scene = await make(concurrent=2)
    gates = [asyncio.Event() for _ in range(4)]
    for gate in gates:
        scene.plays([gate, "text", done()])
    sent = [await scene.send() for _ in gates]
    assert scene.supervisor.incarnation is None
    await scene.supervisor.sweep()
    assert scene.supervisor.running == 2
    for gate in gates:
        gate.set()
    await scene.idle()
    assert [(await scene.message(one)).content for one in sent] == ["text"] * 4


async def test_room_that_is_made_while_others_are_taken_is_filled_too(make: Makes) -> None:
    """Two end together, and two that waited are begun."""
    scene = await make(concurrent=2)
    gates = [asyncio.Event() for _ in range(4)]
    for gate in gates:
        scene.plays([gate, "text", done()])
    for _ in gates:
        await scene.send()
    ownership = scene.store.internal.ownership
    orphans = ownership.orphans

    async def while_another_ends(*given: Any, **more: Any) -> Any:
        ownership.orphans = orphans  # type: ignore[method-assign]
        found = await orphans(*given, **more)
        gates[1].set()
        await scene.until(lambda: scene.supervisor.running == 0)
        return found

    ownership.orphans = while_another_ends  # type: ignore[method-assign]
    gates[0].set()
    await scene.until(lambda: scene.puppet.open == 2 and len(scene.puppet.requests) == 4)
    for gate in gates:
        gate.set()
    await scene.idle()


async def test_room_that_is_made_by_many_is_filled_by_few_sweeps(
    make: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that end together count on one of them, and do not wait in a row for their own."""
    many = 12
    scene = await make(concurrent=many)
    gate = asyncio.Event()
    for _ in range(many):
        scene.plays(["text", gate, done()])
    for _ in range(many):
        await scene.send()
    await scene.until(lambda: scene.puppet.open == many)
    calls, sweeps = scene.store.internal.tools, []
    expire = calls.expire

    async def counted(*, limit: int = 100) -> list[ToolCall]:
        sweeps.append(limit)
        return await expire(limit=limit)

    monkeypatch.setattr(calls, "expire", counted)
    async with scene.supervisor._sweeping:
        gate.set()
        await scene.until(lambda: len(scene.lines) == many)
    await scene.idle()
    assert 1 <= len(sweeps) <= 3


async def test_a_full_instance_ends_what_the_dead_were_saying(make: Makes) -> None:
    """That needs no room, and whoever waits for its end may have no other instance."""
    scene = await make(concurrent=1)
    gate = asyncio.Event()
    scene.plays(["one", gate, done()])
    own = await scene.send()
    await scene.shown(own.conversation, "one")
    left, held = await scene.world.running(request=request.encode(Request()))
    await scene.world.write(held, 0, "half")
    await scene.supervisor.sweep()
    await scene.until(lambda: scene.lines)
    assert [(line.answer, line.outcome) for line in scene.lines] == [(left.answer, "interrupted")]
    assert scene.supervisor.running == 1
    gate.set()
    await scene.idle()
    assert (await scene.complete(own)).outcome == "complete"


async def test_a_look_at_what_is_not_there_does_nothing(scene: Scene) -> None:
    """Nor at what runs elsewhere."""
    scene.plays(["text", done()])
    sent = await scene.send()
    await scene.idle()
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    scene.supervisor.look(scene.world.tenant, "c_missing")
    scene.supervisor.wake(Stopping(answer="m_missing", incarnation="i_missing"))
    await scene.idle()
    assert len(scene.puppet.requests) == 1


async def test_a_stop_reaches_the_instance_that_makes_the_answer(scene: Scene) -> None:
    """At once, whichever instance stored it; no checkpoint comes in between."""
    other = await scene.another()
    scene.plays(["one ", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    stopped = await scene.store.sending.stop(scene.world.owner, sent.answer)
    assert stopped.stopping is not None
    other.wake(stopped.stopping)
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("stopped", 4)


async def test_one_that_has_left_hears_nothing(scene: Scene) -> None:
    """Its answers are others' by now."""
    assert len(scene.switchboard.ears) == 1
    await scene.supervisor.drain(0)
    assert scene.switchboard.ears == {}


# ── draining ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_drain_waits_for_what_runs(scene: Scene) -> None:
    """And takes nothing new meanwhile, not even what waits behind it."""
    gate = asyncio.Event()
    scene.plays(["one", gate, done()])
    first = await scene.send()
    second = await scene.send(conversation=first.conversation)
    await scene.shown(first.conversation, "one")
    drained = asyncio.create_task(scene.supervisor.drain(60))
    await asyncio.sleep(0)
    assert scene.supervisor.incarnation is None
    gate.set()
    await drained
    assert (await scene.complete(first)).outcome == "complete"
    assert (await scene.answer(second)).state == "queued"
    assert await scene.store.internal.ownership.living() == []


@pytest.mark.parametrize("said", [["one"], [Thinking("hm")]])
async def test_what_has_shown_something_is_interrupted_by_a_drain(
    scene: Scene, said: list[Act]
) -> None:
    """With all of its text."""
    scene.plays([*said, asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.supervisor._runs[sent.answer]._draft)
    await scene.until(lambda: scene.supervisor._runs[sent.answer]._draft.speech.begun)  # type: ignore[union-attr]
    await scene.supervisor.drain(0)
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("interrupted", "shutdown")
    assert complete.length == (3 if said == ["one"] else 0)
    assert (await scene.spent()).completion_tokens == complete.length


async def test_what_has_shown_nothing_is_left_to_the_next_process(scene: Scene) -> None:
    """Which begins it at once, in the same attempt; no try is forgotten in its bill."""
    scene.plays([asyncio.Event()], ["text", done(tokens=4)])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await scene.supervisor.drain(0)
    assert (await scene.answer(sent)).state == "parked"
    assert await scene.ends(sent.conversation) == []
    await scene.another()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length, complete.attempt) == ("complete", 4, 1)
    assert await scene.spent() == Spent(2, 4, 0)


async def test_a_step_of_which_nothing_was_shown_is_left_to_the_next_process(
    scene: Scene,
) -> None:
    """With the steps before it: their text stays, and their tools do not run again."""
    scene.plays(["before ", NOON, done(None, 7)], [asyncio.Event()], ["after", done(tokens=5)])
    sent = await scene.send()
    await scene.until(lambda: len(scene.puppet.requests) == 2)
    await scene.supervisor.drain(0)
    await scene.another()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("complete", 12)
    assert [state for state, _ in await scene.tools(sent)] == ["requested", "running", "done"]
    assert scene.puppet.requests[2] == scene.puppet.requests[1]
    assert await scene.spent() == Spent(3, 12, 0)


async def test_what_is_started_during_a_drain_is_left_to_the_next_process(scene: Scene) -> None:
    """It was stored just before, as ours."""
    sent = await scene.send(start=False)
    assert sent.run is not None
    drained = asyncio.create_task(scene.supervisor.drain(60))
    await asyncio.sleep(0)
    scene.supervisor.start(sent.run)
    await drained
    await scene.until(lambda: scene.supervisor.running == 0)
    assert (await scene.answer(sent)).state == "parked"
    assert scene.puppet.requests == []
    scene.plays(["text", done()])
    await scene.another()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_stop_during_a_drain_stands(scene: Scene) -> None:
    """What was asked to stop is not left to anybody."""
    scene.plays([asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await scene.stop(sent.answer, wake=False)
    await scene.supervisor.drain(0)
    assert (await scene.complete(sent)).outcome == "stopped"


async def test_a_parked_answer_is_none_of_a_drains_business(scene: Scene) -> None:
    """It waits for its person."""
    scene.plays([ASKS, done(None)])
    sent = await scene.send()
    await scene.idle()
    await scene.supervisor.drain(0)
    assert (await scene.answer(sent)).state == "parked"
    await scene.another()
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"


async def test_a_drain_ends_though_the_store_is_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be let go of is left as after a crash."""
    monkeypatch.setattr(supervisor, "CUT_SHORT_S", 0.05)

    async def away(*_: object) -> None:
        raise Unavailable("away")

    scene.plays(["text", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    answers, ownership = scene.store.internal.answers, scene.store.internal.ownership
    end, leave = answers.end, ownership.leave
    answers.end = away  # type: ignore[method-assign,assignment]
    ownership.leave = away  # type: ignore[method-assign,assignment]
    await scene.supervisor.drain(0)
    assert scene.supervisor.running == 0
    answers.end, ownership.leave = end, leave  # type: ignore[method-assign]
    await scene.another()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "crash"


async def test_after_a_drain_it_lives_no_more(scene: Scene) -> None:
    """A late beat does not bring it back."""
    await scene.supervisor.drain(0)
    await scene.supervisor.beat()
    await scene.supervisor.sweep()
    assert await scene.store.internal.ownership.living() == []


# ── living ───────────────────────────────────────────────────────────────────────────────────────


async def test_who_was_not_heard_for_long_takes_nothing(scene: Scene) -> None:
    """Until it is heard again."""
    ours = [scene.supervisor.incarnation]
    scene.time.now += STALE_S
    ours.append(scene.supervisor.incarnation)
    await scene.supervisor.sweep()
    await scene.supervisor.beat()
    ours.append(scene.supervisor.incarnation)
    assert ours == [ours[0], None, ours[0]] != [None] * 3


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_database_that_went_back_is_noticed_at_the_next_beat(
    scene: Scene, *, forgotten: bool
) -> None:
    """It does not know of the last one, or not even of us: who follows is shown anew."""
    scene.plays(["text", done()])
    sent = await scene.send()
    await scene.idle()
    follower = Listener()
    tenant, conversation = scene.world.tenant, sent.conversation
    head = await scene.hub.position(tenant, conversation)
    await scene.hub.join(tenant, conversation, follower, head)
    for _ in range(2):
        scene.world.clock.advance(3_000)
        await scene.supervisor.beat()
    assert follower.lost == 0
    if forgotten:
        assert scene.supervisor.incarnation is not None
        await scene.store.internal.ownership.leave(scene.supervisor.incarnation)
    else:
        await scene.world.run("UPDATE incarnations SET beat_at = beat_at - 3000")
    await scene.supervisor.beat()
    assert follower.lost == 1
    await scene.supervisor.beat()
    assert follower.lost == 1


async def test_who_was_forgotten_begins_anew(scene: Scene) -> None:
    """Under another id; what it still owns it goes on with, and nobody else does."""
    gate = asyncio.Event()
    scene.plays(["text", gate, done(tokens=4)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    before = scene.supervisor.incarnation
    assert before is not None
    await scene.store.internal.ownership.leave(before)
    await scene.supervisor.beat()
    assert scene.supervisor.incarnation not in (None, before)
    await scene.supervisor.sweep()
    gate.set()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"
    assert len(scene.puppet.requests) == 1


async def test_all_of_it_runs_by_itself(
    make: Makes, logged: list[MutableMapping[str, Any]]
) -> None:
    """Life signs, deadlines, checkpoints, sweeps; a store that fails now and then ends none."""
    scene = await make()
    calls = scene.store.internal.tools
    fails = [Unavailable("away"), RuntimeError("a fault of ours")]
    expire = calls.expire

    async def sometimes(*, limit: int = 100) -> list[ToolCall]:
        if fails:
            raise fails.pop()
        return await expire(limit=limit)

    calls.expire = sometimes  # type: ignore[method-assign]
    scene.plays(["text", asyncio.Event()])
    running = asyncio.create_task(scene.supervisor.run())
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await scene.idle()  # time goes by at once here, until the model is found to be silent
    complete = await scene.complete(sent)
    assert complete.finish_reason == "timeout"
    await scene.until(lambda: not fails)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    events = [line["event"] for line in logged]
    assert "the store failed" in events
    assert "looking after answers failed" in events


async def test_deadlines_are_looked_at_each_second(make: Makes) -> None:
    """However seldom text is stored."""
    scene = await make(checkpoint_s=60.0)
    running = asyncio.create_task(scene.supervisor.run())
    await scene.until(lambda: 60.0 in scene.time.slept)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert supervisor.LOOK_S in scene.time.slept


async def test_logs_hold_no_words_of_people(
    scene: Scene, logged: list[MutableMapping[str, Any]]
) -> None:
    """Ids, sizes and codes; the text of the failure is the log's business to cut."""
    scene.plays(["a secret", done(tokens=8)], [RuntimeError("oops")])
    sent = await scene.send("my secret")
    await scene.idle()
    await scene.send("my secret", conversation=sent.conversation)
    await scene.idle()
    for line in logged:
        assert "secret" not in repr({**line, "exc_info": None})
    assert "secret" not in repr([structs.asdict(line) for line in scene.lines])


async def start_many(scene: Scene, many: int) -> list[Sent]:
    """Answers that all say something and wait."""
    gate = asyncio.Event()
    script: list[Act] = ["x", gate, done(tokens=1)]
    scene.plays(*[script] * many)
    sent = [await scene.send() for _ in range(many)]
    await scene.until(lambda: len(scene.puppet.said) == many)
    gate.set()
    return sent


async def test_nothing_is_left_of_many(scene: Scene) -> None:
    """No task, no run, no writer."""
    sent = await start_many(scene, 40)
    await scene.idle()
    assert len(scene.lines) == len(sent)
    assert (scene.supervisor.running, scene.supervisor._tasks) == (0, set())
    assert not any(stream.writers for stream in scene.hub._streams.values())
    assert await scene.spent() == Spent(40, 40, 0)
