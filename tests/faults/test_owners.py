"""An owner that dies or freezes: others end or run its answers, and it writes nothing any more."""

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.faults.crowd import settle
from tests.faults.device import Cut, Device
from tests.faults.instance import Instance
from tests.faults.plans import script
from tests.faults.town import Town, answers_at, town_in
from tests.faults.verdict import judge
from tests.faults.view import Frame
from tests.support.lateness import within
from tests.support.services import Redis
from tests.support.waiting import until

SEEDS = range(20 if LONG else 3)
TAKEN_S = 12.0  # from an owner's death to the ends of its answers
ANSWERS = 50
DEVICES = 12  # of a server that dies before its `ack`
FROZEN_S = 20.0  # far beyond the time after which others take over
WORDS = 8
STOPS = 20 if LONG else 6
STOPPED_S = 1.0


class Watched:
    """An answer that one server makes, with its sender there and a viewer at another one."""

    def __init__(self, sender: Device, viewer: Device, ack: Frame, words: int | None) -> None:
        """It is to be shown so many words when its owner goes; None: it was not begun."""
        self.sender = sender
        self.viewer = viewer
        self.ack = ack
        self.words = words
        self.answer = str(ack["answer"])

    async def shown(self) -> None:
        """Until the viewer sees what there is to be seen for now."""
        text = " w" * (self.words or 0)
        await self.viewer.until(
            lambda: (
                (shown := self.viewer.view.answer(self.answer)) is not None and shown.text == text
            )
        )

    async def ended(self, since: float = 0.0) -> float:
        """Until the viewer sees its end; how long after that time."""
        await self.viewer.until(lambda: self.viewer.view.has_ended(self.answer))
        return time.monotonic() - since


async def watched(town: Town, n: int, owner: Instance, other: Instance) -> Watched:
    """The n-th answer: not begun yet, or silent after one word, after half of all, after all."""
    words = [None, 1, WORDS // 2, WORDS][n % 4]
    own = f" {owner.life}.{n}"
    content = script(" w", WORDS + 1, fail="stall", at=words)
    if words is None:
        content = script(own, WORDS, first_ms=10_000)
    sender, viewer = await asyncio.gather(
        town.connected(f"o{owner.life}.{n}", owner), town.connected(f"o{owner.life}.{n}", other)
    )
    ack = await sender.ask({"type": "chat", "content": content})
    await viewer.ask({"type": "attach", "conversation": ack["conversation"]})
    return Watched(sender, viewer, ack, words)


async def many(town: Town, owner: Instance, other: Instance) -> list[Watched]:
    """Answers in every state, shown as far as they came."""
    answers = await asyncio.gather(*(watched(town, n, owner, other) for n in range(ANSWERS)))
    await asyncio.gather(*(answer.shown() for answer in answers))
    return list(answers)


def ends(answers: Sequence[Watched]) -> list[tuple[int | None, str, int]]:
    """What became of them: by what was shown, the outcome and how many words the text has."""
    found = set()
    for answer in answers:
        text, outcome, _ = answer.viewer.view.ended[answer.answer]
        found.add((answer.words, outcome, text.count(" ")))
    return sorted(found, key=str)


EXPECTED = sorted(
    [
        (None, "complete", WORDS),
        *[(words, "interrupted", words) for words in (1, WORDS // 2, WORDS)],
    ],
    key=str,
)


@pytest.mark.alone
@pytest.mark.row(2)
async def test_what_a_killed_server_was_making_ends_once_for_everybody(
    town: Town, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """At chunk 0 another one makes it, later it ends as shown; within 12 s, in one frame."""
    await town.start_all()
    ada, bob = town.instances
    answers: list[Watched] = []
    lasting: list[asyncio.Task[float]] = []
    for _ in seeds:
        if not ada.serves:
            await ada.start()
        begun = await many(town, ada, bob)
        await ada.kill()
        died = time.monotonic()
        answers += begun
        lasting += [asyncio.create_task(answer.ended(died)) for answer in begun]
    lasted = await asyncio.gather(*lasting)
    await settle(town, [answer.sender for answer in answers])
    assert ends(answers) == EXPECTED
    taken = [each for each, answer in zip(lasted, answers, strict=True) if answer.words]
    what = f"kill -9 of the owner of {ANSWERS} answers, all ended in {max(taken):.1f} s"
    await judge(town, capsys, what, len(seeds))
    within(max(taken), TAKEN_S, "all ended")


@pytest.mark.alone
@pytest.mark.row(3)
async def test_a_frozen_owner_that_wakes_finds_its_answers_taken_and_writes_nothing(
    tmp_path: Path, database: str, fresh_redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """No chunk of it after another one took over; all devices agree on one end."""
    names = [*[f"zombie{seed}" for seed in range(3)], "bob"]
    async with town_in(tmp_path, database, fresh_redis.url(), names=names) as town:
        await town.start_all()
        *zombies, bob = town.instances
        answers = [
            await asyncio.gather(*(speaking(town, zombie, bob, random.Random(n)) for _ in range(4)))
            for n, zombie in enumerate(zombies)
        ]
        for zombie in zombies:
            zombie.freeze()
            town.leave(zombie)
        frozen = time.monotonic()
        every = [answer for each in answers for answer in each]
        await settle(town, [answer.sender for answer in every])
        took = time.monotonic() - frozen
        assert {outcome for _, outcome, _ in ends(every)} == {"interrupted"}
        await asyncio.sleep(frozen + FROZEN_S - time.monotonic())
        for zombie in zombies:
            zombie.thaw()
        await town.idle()
        after = await asyncio.gather(*(town.connected(a.sender.user, zombies[0]) for a in every))
        for answer, device in zip(every, after, strict=True):
            conversation = answer.ack["conversation"]
            await device.ask({"type": "attach", "conversation": conversation})
            more = {"type": "chat", "conversation": conversation, "content": script(" more", 2)}
            await device.ask(more)
        await settle(town, after)
        await judge(town, capsys, f"frozen owners of {len(every)} answers", len(zombies))
    within(took, TAKEN_S + 1, "all ended")


async def speaking(town: Town, owner: Instance, other: Instance, chance: random.Random) -> Watched:
    """An answer that goes on and on, some words of which were seen."""
    user = f"u{len(town.devices)}"
    sender, viewer = await town.connected(user, owner), await town.connected(user, other)
    content = script(" w", 3000, every_ms=chance.choice([5, 10, 20]))
    ack = await sender.ask({"type": "chat", "content": content})
    await viewer.ask({"type": "attach", "conversation": ack["conversation"]})
    watched = Watched(sender, viewer, ack, None)
    await until(lambda: spoken(viewer, watched.answer) > chance.randint(1, 20))
    return watched


def spoken(device: Device, answer: str) -> int:
    """How many words a device shows."""
    shown = device.view.answer(answer)
    return 0 if shown is None else shown.text.count(" ")


PLACES = ("received", "inserted", "committed", "acked")


@pytest.mark.row(1)
async def test_what_a_server_died_of_before_its_ack_is_sent_to_another_one(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the same id: one message, one answer, wherever between receipt and `ack` it was."""
    ada, bob = town.instances
    await bob.start()
    sent, kills = 0, 80 if LONG else len(PLACES)
    for seed in range(kills):
        chance = random.Random(seed)
        await ada.start(f"{PLACES[seed % len(PLACES)]}:kill:{chance.randint(1, DEVICES)}")
        devices = [await town.connected(f"u{len(town.devices)}", ada) for _ in range(DEVICES)]
        for device in devices:
            device.send({"type": "chat", "content": script(f" {device.name}", 5, every_ms=1)})
        assert await ada.ended() == -signal.SIGKILL
        for device in devices:
            with pytest.raises(Cut):
                await device.until(lambda: False)
            sent += len(device.in_flight)
            await town.connect(device, bob)
    await settle(town, town.devices)
    what = f"killed before the `ack`, {sent} messages sent again to another one"
    await judge(town, capsys, what, kills)


async def test_a_stop_through_another_server_is_prompt_and_final(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's call ends within 1 s, and the text is the same everywhere."""
    await town.start_all()
    ada, bob = town.instances
    slowest = 0.0
    for n in range(STOPS):
        answer = await speaking(town, ada, bob, random.Random(n))
        began = time.monotonic()
        answer.viewer.send({"type": "stop", "answer": answer.answer})
        await asyncio.gather(answer.ended(), settle(town, [answer.sender, answer.viewer]))
        while await asyncio.to_thread(answers_at, ada.url):
            pass
        slowest = max(slowest, time.monotonic() - began)
        views = [device.view.ended[answer.answer] for device in (answer.sender, answer.viewer)]
        assert views[0] == views[1]
        assert views[0][1:] == ("stopped", "stopped")
    await judge(town, capsys, f"stops through another server, in {slowest:.2f} s", STOPS)
    within(slowest, STOPPED_S, "stopped")
