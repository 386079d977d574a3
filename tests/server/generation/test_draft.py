"""What an answer has come to: its times, its bill, its degradations."""

import asyncio

from server.generation.request import Request
from server.providers.base import CallsTool
from storage.values import Spent
from tests.server.generation.scene import RAW, Scene, done

NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
ASKS = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")


async def test_its_times_are_of_its_own_life(scene: Scene) -> None:
    """In the queue by the database's clock, the rest by ours."""
    gates = [asyncio.Event() for _ in range(3)]
    scene.plays([gates[0], done()], [gates[1], "text", gates[2], done(tokens=4)])
    first = await scene.send()
    second = await scene.send(conversation=first.conversation)
    scene.world.clock.advance(5_000)
    gates[0].set()
    await scene.until(lambda: len(scene.puppet.requests) == 2)
    scene.time.now += 2
    gates[1].set()
    await scene.shown(second.conversation, "text")
    scene.time.now += 1
    gates[2].set()
    await scene.idle()
    timings = (await scene.complete(second)).timings_ms
    assert (timings.queue, timings.first_token, timings.total) == (5_000, 2_000, 8_000)


async def test_its_clocks_stand_while_it_is_parked(scene: Scene) -> None:
    """Also that of the longest time it may take."""
    gate = asyncio.Event()
    scene.plays(["one", gate, ASKS, done(None, 3)], ["two", done(tokens=3)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one")
    scene.time.now += 4
    gate.set()
    await scene.idle()
    scene.time.now += 10_000
    await scene.supervisor.beat()
    (call,) = await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer)
    await scene.store.tools.decide(
        scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=True
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    await scene.supervisor.tick()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.timings_ms.total) == ("complete", 4_000)
    assert complete.timings_ms.first_token == 0


async def test_a_finished_step_is_paid_for_though_the_next_one_crashes(scene: Scene) -> None:
    """It is on record before the model is asked again."""
    scene.plays(["text", NOON, done(None, 4)], [asyncio.Event()])
    await scene.send()
    await scene.until(lambda: len(scene.puppet.requests) == 2)
    assert await scene.spent() == Spent(1, 4, 0)


async def test_a_parked_answer_has_paid_for_what_it_said(scene: Scene) -> None:
    """Once, also after it goes on."""
    scene.plays(["text", ASKS, done(None, 4)], ["more", done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    assert await scene.spent() == Spent(1, 4, 0)
    (call,) = await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer)
    await scene.store.tools.decide(
        scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=False
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    assert await scene.spent() == Spent(2, 8, 0)
    assert (await scene.complete(sent)).usage.total_tokens == 10


async def test_its_trace_is_that_of_who_asked(scene: Scene) -> None:
    """So that one request is found again in all lines."""
    scene.plays([done()])
    await scene.send(asked=Request(trace="t1"))
    await scene.idle()
    assert [line.trace for line in scene.lines] == ["t1"]
