"""The store is away for a while: nothing is lost, doubled or left hanging."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from server.generation.patience import LONGEST_PAUSE_S, Patience
from server.providers.base import CallsTool
from storage.errors import Conflict, Overloaded, Unavailable
from storage.records import Sent
from storage.values import Owner, Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.flaky import Flaky
from tests.server.generation.scene import RAW, Scene, Time, done
from tests.support.rows import World

ASKS = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")
NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")


async def test_it_asks_until_it_is_answered() -> None:
    """With growing pauses that have an end."""
    time, asked = Time(), 0

    async def away() -> str:
        nonlocal asked
        asked += 1
        if asked < 12:
            raise Unavailable("away", outcome_unknown=True)
        return "here"

    assert await Patience(sleep=time.sleep, chance=lambda: 0.5)(away) == "here"
    assert time.slept[:3] == [0.05, 0.1, 0.2]
    assert max(time.slept) == LONGEST_PAUSE_S


async def test_it_comes_back_when_it_is_told_to() -> None:
    """An overloaded store says when."""
    time, answers = Time(), [Overloaded("full", retry_after_ms=7000), None]

    async def full() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    await Patience(sleep=time.sleep, chance=lambda: 0.5)(full)
    assert time.slept == [7.0]


async def test_it_does_not_wait_for_what_waiting_does_not_mend() -> None:
    """A rule of the schema stays one."""

    async def never() -> None:
        raise Conflict("other")

    with pytest.raises(Conflict):
        await Patience(sleep=Time().sleep)(never)


async def two_answers(scene: Scene, flaky: Flaky) -> None:
    """Text, a tool, a tool that a person approves, text; and a second answer in the queue."""
    scene.plays(["one ", NOON, done(None, 4)], ["two ", ASKS, done(None, 4)])
    scene.plays(["three", done(tokens=5)], ["next", done(tokens=4)])
    first = await scene.send()
    second = await scene.send(conversation=first.conversation)
    for round in range(6):
        if round == 4:
            flaky.heal()
        await settle(scene, first)
    await scene.idle()
    for sent, text in ((first, "one two three"), (second, "next")):
        complete = await scene.complete(sent)
        assert (complete.outcome, complete.length) == ("complete", len(text)), flaky.names
        assert (await scene.message(sent)).content == text
    calls = await scene.store.internal.tools.of_answer(scene.world.tenant, first.answer)
    assert [call.state for call in calls] == ["done", "done"]
    assert len(scene.puppet.requests) == 4
    assert await scene.spent() == Spent(4, 17, 0)


async def settle(scene: Scene, sent: Sent) -> None:
    """Let it come to rest, with a person who approves and all that looks after answers."""
    await scene.idle()
    for call in await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer):
        if call.state == "awaiting_approval":
            await scene.store.tools.decide(
                scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=True
            )
            scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    for look_after in (scene.supervisor.checkpoint, scene.supervisor.sweep):
        with suppress(Unavailable):
            await look_after()
    scene.world.clock.advance(6_000)
    await scene.supervisor.beat()
    await scene.hub.sweep()


async def scene_with(make: Makes, flaky: Flaky) -> Scene:
    return await make(own={"given": flaky.as_store()})


async def calls_of_an_undisturbed_run(make: Makes, world: World) -> dict[int, str]:
    """The first and the last of each kind, by their place."""
    flaky = Flaky(world.store)
    scene = await scene_with(make, flaky)
    began = len(flaky.names)
    await two_answers(scene, flaky)
    names = flaky.names[began:]
    places = {names.index(name) for name in names}
    places |= {len(names) - 1 - names[::-1].index(name) for name in names}
    return {place: names[place] for place in sorted(places) if not names[place].endswith("beat")}


@pytest.mark.parametrize("how", ["before", "after"])
async def test_each_reply_in_turn_does_not_come(make: Makes, world: World, how: str) -> None:
    """Whichever call it is, and whether or not it was done: the same two answers, once each."""
    found = await calls_of_an_undisturbed_run(make, world)
    assert len(found) > 20
    for place in found:
        flaky = Flaky(world.store)
        scene = await scene_with(make, flaky)
        flaky.broken = _only(len(flaky.names) + place, how)
        world.tenant = f"{how}-{place}"
        world.owner = Owner(world.tenant, "ann")
        await two_answers(scene, flaky)


@pytest.mark.parametrize("seed", range(8))
async def test_many_replies_do_not_come(make: Makes, world: World, seed: int) -> None:
    """A third of them, some of what was done and some of what was not."""
    chance = Random(seed)

    def broken(_number: int, name: str) -> str | None:
        often = 0 if name.endswith("beat") else 0.3
        return chance.choice(["before", "after"]) if chance.random() < often else None

    flaky = Flaky(world.store)
    scene = await scene_with(make, flaky)
    flaky.broken = broken
    await two_answers(scene, flaky)


def _only(which: int, how: str) -> Callable[[int, str], str | None]:
    return lambda number, _name: how if number == which else None
