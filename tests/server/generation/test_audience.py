"""Answers that nobody watches go on, or are stopped after a while, as it is set."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from msgspec import Raw

from server.generation.audience import Audience
from server.providers.base import CallsTool
from storage.errors import NotFound, Unavailable
from storage.records import Sent
from storage.values import Owner
from tests.server.generation.scene import Scene, done

ASKS = CallsTool(name="wipe", arguments=Raw(b"{}"), approval=True, scripted_result="wiped")


class House:
    """A scene's answers, and who watches them."""

    def __init__(self, scene: Scene, unwatched_s: float = 60.0) -> None:
        self.scene = scene
        self.log = scene.log
        self.stopped: list[str] = []
        self.failure: Exception | None = None
        self.audience = Audience(
            self.log,
            lambda: scene.supervisor.answers,
            self._stop,
            unwatched_s=unwatched_s,
            clock=scene.time,
        )
        self.gate = asyncio.Event()

    async def _stop(self, owner: Owner, answer: str) -> None:
        assert owner == self.scene.world.owner
        self.stopped.append(answer)
        if self.failure is not None:
            raise self.failure
        await self.scene.stop(answer)
        supervisor = self.scene.supervisor
        await self.scene.until(lambda: answer not in {each.id for each in supervisor.answers})

    async def runs(self, **more: Any) -> Sent:
        """An answer that has said something and goes on until the gate opens."""
        self.scene.plays(["so far", self.gate, " and on", done()])
        sent = await self.scene.send(**more)
        await self.scene.shown(sent.conversation, "so far")
        return sent

    async def after(self, seconds: float) -> None:
        """So much later, somebody looks."""
        self.scene.time.now += seconds
        await self.audience.look()


@pytest.fixture
async def house(scene: Scene) -> AsyncIterator[House]:
    """Nothing in it runs for ever."""
    house = House(scene)
    yield house
    house.gate.set()
    await scene.idle()


async def test_what_nobody_watches_is_stopped_as_by_its_owner(
    house: House, logged: list[MutableMapping[str, Any]]
) -> None:
    """After the time that is set, with what it has said."""
    sent = await house.runs()
    await house.after(0)
    await house.after(59)
    assert house.stopped == []
    await house.after(1)
    await house.scene.idle()
    end = await house.scene.complete(sent)
    assert (end.outcome, end.finish_reason, end.length) == ("stopped", "stopped", 6)
    assert [line["answer"] for line in logged if "nobody watched" in line["event"]] == [sent.answer]
    await house.after(3)
    assert house.stopped == [sent.answer]


async def test_who_comes_back_in_time_keeps_it_going(house: House) -> None:
    """The time begins anew when they leave; another conversation's watchers do not count."""
    sent, other = await house.runs(), await house.runs()
    await house.after(0)
    following = await house.scene.log.follow(sent.conversation, lambda _: None)
    await house.after(59)
    await house.after(1)
    following.close()
    await house.after(59)
    await house.after(59)
    assert house.stopped == [other.answer]
    await house.after(1)
    assert house.stopped == [other.answer, sent.answer]


async def test_a_log_that_cannot_tell_stops_nobody(house: House) -> None:
    """The time begins anew when it can, and all are asked about at once."""
    await house.runs()
    await house.runs()
    await house.after(0)
    for away in ({"watched"}, {"heads"}):  # it fails, or what it says is out of date
        house.log.away = away
        await house.after(59)
        await house.after(59)
    house.log.away = set()
    await house.after(0)
    await house.after(59)
    assert house.stopped == []
    await house.after(1)
    assert len(house.stopped) == 2


async def test_what_is_parked_or_queued_waits_on(house: House) -> None:
    """Nothing is made there, so nothing is wasted."""
    scene = house.scene
    scene.plays([ASKS, done(None)])
    parked = await scene.send()
    await scene.idle()
    queued = await scene.send(conversation=parked.conversation)
    for _ in range(3):
        await house.after(100)
    assert house.stopped == []
    assert (await scene.answer(parked)).state == "parked"
    assert (await scene.answer(queued)).state == "queued"


async def test_a_stop_that_fails_is_tried_again(
    house: House, logged: list[MutableMapping[str, Any]]
) -> None:
    """And a conversation that was deleted meanwhile is nobody's trouble."""
    sent = await house.runs()
    await house.after(0)
    for failure in (Unavailable("away"), NotFound("answer", sent.answer)):
        house.failure = failure
        await house.after(60)
    assert len(house.stopped) == 2
    assert [line["log_level"] for line in logged if sent.answer == line.get("answer")] == [
        "warning"
    ]
    house.failure = None
    await house.after(3)
    await house.scene.idle()
    assert (await house.scene.complete(sent)).outcome == "stopped"


async def test_what_ends_while_others_are_stopped_is_left_alone(house: House) -> None:
    """The list was taken before."""
    first, second = await house.runs(), await house.runs()
    await house.after(0)
    stop = house._stop

    async def slow(owner: Owner, answer: str) -> None:
        house.gate.set()
        await house.scene.idle()
        await stop(owner, answer)

    house.audience._stop = slow
    await house.after(60)
    assert house.stopped == [first.answer]
    assert (await house.scene.complete(second)).outcome == "complete"


@pytest.mark.parametrize(("unwatched_s", "every_s"), [(1.0, 0.25), (12.0, 3.0), (3600.0, 3.0)])
async def test_it_looks_often_enough_and_no_oftener(
    scene: Scene, unwatched_s: float, every_s: float
) -> None:
    """Each look is one question to the log."""
    assert House(scene, unwatched_s).audience.every_s == every_s
