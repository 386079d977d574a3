"""A rolling deploy: servers of two versions side by side, for clients that know the old one."""

import random
import shutil
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.faults.crowd import crowd, settle, shows
from tests.faults.instance import Instance
from tests.faults.plans import script
from tests.faults.town import Town, get
from tests.faults.verdict import judge
from tests.support.chaos import How
from tests.support.parley import ROOT
from tests.support.waiting import until

ROLLS = 10 if LONG else 2  # from the old version to the new one, or back
DEVICES = 16 if LONG else 8
WORDS = 40  # of an answer that is still being made while devices come
NEWER = "9.9.9"
QUICK = {
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.05",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "3",
    "PARLEY_SOCKET_DRAIN_SPREAD_S": "1",
}
# The newer version says more: a frame of the log that the older one does not know, and a field.
PATCHES = {
    "server/__init__.py": [('VERSION = "', f'VERSION = "{NEWER}"  # "')],
    "protocol/frames/from_server.py": [
        (
            "    state: AnswerState\n    detail:",
            "    state: AnswerState\n    mood: str = ''\n    detail:",
        ),
        (
            "AnyServerFrame: TypeAlias = (\n",
            'class Mood(Logged, tag="mood", frozen=True, kw_only=True):\n'
            '    """New."""\n\n'
            "    conversation: Id\n    answer: Id\n    mood: str\n\n\n"
            "AnyServerFrame: TypeAlias = (\n    Mood\n    | ",
        ),
    ],
    "server/generation/speech.py": [
        ("                state=phase,\n", "                state=phase, mood='new',\n"),
        (
            "    @property\n    def held",
            "        from protocol.frames.from_server import Mood\n\n"
            "        self._writer.frame(\n"
            "            Mood(conversation=answer.conversation, answer=answer.id, mood='new')\n"
            "        )\n\n"
            "    @property\n    def held",
        ),
    ],
}


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A checkout of the next version."""
    root = tmp_path / "newer"
    for package in ("protocol", "storage", "server"):
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name, changes in PATCHES.items():
        text = (root / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (root / name).write_text(text)
    return root


async def swap(instance: Instance, root: Path) -> None:
    """An orderly end, and a start from the other checkout."""
    assert await instance.stop() == 0
    instance.parley.root = root
    await instance.start()
    version = get(instance.url, "/health")["version"]
    assert (version == NEWER) == (root != ROOT)


@pytest.mark.row(25)
async def test_a_rolling_deploy_of_another_version_loses_and_doubles_nothing(
    town: Town, newer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server after the other is replaced under load; old clients never notice."""
    for each in town.instances:
        each.parley.set(**QUICK)
    await town.start_all()
    chance = random.Random(1)
    swaps = 0
    for roll in range(ROLLS):
        root = ROOT if roll % 2 else newer
        async with crowd(town, roll, DEVICES) as devices:
            for instance in chance.sample(town.instances, len(town.instances)):
                await swap(instance, root)
                swaps += 1
                acks = sum(len(device.acks) for device in devices)
                await until(lambda: sum(len(d.acks) for d in devices) > acks + DEVICES)  # noqa: B023
    kinds = {frame["type"] for device in town.devices for frame in device.view.told.values()}
    assert "mood" in kinds
    await judge(town, capsys, "rolling deploys", swaps)


async def mixed(town: Town, newer: Path) -> tuple[Instance, Instance]:
    """In the middle of a deploy: the first server is of the newer version, the second is not."""
    await town.start_all()
    ada, bob = town.instances
    await swap(ada, newer)
    return ada, bob


async def test_what_the_newer_one_tells_is_read_through_the_older_one(
    town: Town, newer: Path
) -> None:
    """Followed there, missed there, and shown there to who comes without a position."""
    ada, bob = await mixed(town, newer)
    sender = await town.connected("u", ada)
    first = await sender.ask({"type": "chat", "content": script(" first", 3)})
    conversation = first["conversation"]
    live, back = [await town.connected("u", bob) for _ in range(2)]
    for each in (live, back):
        await each.ask({"type": "attach", "conversation": conversation})
        await each.until(lambda: each.view.has_ended(first["answer"]))  # noqa: B023
    place = back.view.conversations[conversation].seq
    back.drop(How.RST)
    asked = {"conversation": conversation, "content": script(" second", WORDS, every_ms=30)}
    second = await sender.ask({"type": "chat", **asked})
    await shows(sender, second["answer"])
    await town.connect(back, bob)
    late = await town.connected("u", bob)
    await late.ask({"type": "attach", "conversation": conversation})
    await settle(town, [sender])
    for each in (live, back, late):
        await each.until(lambda: each.view.has_ended(second["answer"]))  # noqa: B023
    assert back.view.lost_positions == 1, "the first time, when it had none"
    for each in (live, back):
        moods = [at for at, frame in each.view.told.items() if frame["type"] == "mood"]
        assert any(seq > place for _, _, seq in moods)
    assert await town.over() == []


async def test_the_older_one_ends_what_the_newer_one_was_making(town: Town, newer: Path) -> None:
    """It does not know all that it finds in the log, and takes the answer over all the same."""
    ada, bob = await mixed(town, newer)
    device = await town.connected("u", ada)
    viewer = await town.connected("u", bob)
    content = script(" w", WORDS, fail="stall", at=WORDS // 2)
    ack = await device.ask({"type": "chat", "content": content})
    await viewer.ask({"type": "attach", "conversation": ack["conversation"]})
    await shows(viewer, ack["answer"])
    await ada.kill()
    await settle(town, [device])
    await viewer.until(lambda: viewer.view.has_ended(ack["answer"]))
    text, outcome, _ = viewer.view.ended[ack["answer"]]
    assert outcome == "interrupted"
    assert text.startswith(" w")
    assert await town.over() == []
