"""Whatever becomes of instances and of their links to the log: one end, and one text for everybody.

Random walks over one answer, two instances that may take it from each other, a log that they share
and that is lost now and then, and viewers on both. A viewer takes every frame as a client must.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

from protocol.frames.from_server import Chunk, Complete, Reset, ServerFrame
from protocol.text import crc32, utf16_length
from server.streams import hub as hub_module
from server.streams import pieces, pump
from server.streams.entry import Shared
from server.ws import snapshot
from storage.errors import StorageError
from storage.records import Sent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import Act, Instance, Scene, done
from tests.support.waiting import PATIENCE_S, pause

STEPS = 60
WORDS = [f"{number} 😀 " for number in range(40)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long before asking again."""
    monkeypatch.setattr(hub_module, "MEND_PAUSE_S", 0.005)
    monkeypatch.setattr(pump, "UNANSWERED_PAUSE_S", 0.002)


class Viewer:
    """Follows the answer through one instance, and comes back with a snapshot when it is lost."""

    def __init__(self, scene: Scene, instance: Instance, sent: Sent) -> None:
        self.text = ""
        self.ended = False
        self.level = False
        self.ends = 0  # in this epoch
        self._scene = scene
        self._hub = instance.hub
        self._sent = sent

    async def attach(self) -> None:
        """Unless its log cannot be reached now."""
        self._hub.leave(self._sent.conversation, self)
        history, owner = self._scene.store.history, self._scene.world.owner
        try:
            shown = await snapshot.show(self._hub, history, owner, self._sent.conversation, 50)
            self._take_over(shown)
            tenant = self._scene.world.tenant
            await self._hub.join(tenant, self._sent.conversation, self, shown.position)
        except StorageError:
            self.level = False

    def _take_over(self, shown: snapshot.Shown) -> None:
        unfinished = shown.attached.answers
        messages = {one.id: one.content for one in shown.attached.messages or ()}
        self.text = "".join(one.text or "" for one in unfinished)
        self.text += "".join(chunk.text for chunk in shown.rest)
        self.ended = not unfinished
        if self.ended:
            self.text = messages[self._sent.answer]
        self.level, self.ends = True, 0

    def take(self, entries: Sequence[Shared], *, live: bool) -> None:
        """Each frame fits, or somebody was not brought level."""
        for entry in entries:
            frame = entry.frame()
            if self.ended:  # ended in its snapshot: later frames may name it
                assert not self.ends or not isinstance(frame, Chunk | Complete)
                continue
            assert not isinstance(frame, Reset)
            if isinstance(frame, Chunk):
                have = utf16_length(self.text)
                assert frame.offset <= have, "a hole"
                if frame.offset + utf16_length(frame.text) > have:
                    self.text += pieces.behind(frame.text, have - frame.offset)
            elif isinstance(frame, Complete):
                said = (utf16_length(self.text), crc32(self.text))
                assert said == (frame.length, frame.crc32), "an end without its text"
                self.ended, self.ends = True, 1

    def lose(self) -> None:
        """It needs a snapshot."""
        self.level = False

    def tell(self, frame: ServerFrame) -> None:
        """Nothing of the log."""


class Walk:
    """What happens, by chance."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.chance = random.Random(seed)
        self._gates: Iterator[asyncio.Event] = iter(())

    async def begin(self) -> None:
        """An answer on one instance, and viewers on both."""
        scene = self.scene
        gates = [asyncio.Event() for _ in WORDS]
        script: list[Act] = [act for pair in zip(gates, WORDS, strict=True) for act in pair]
        scene.plays(*[[*script, done(tokens=1)]] * 50)
        self._gates = iter(gates)
        self.instances = [Instance(scene.log, scene.hub, scene.supervisor), scene.apart_idle()]
        self.sent = await scene.send()
        await self.instances[1].supervisor.beat()  # registers it
        self.viewers = [Viewer(scene, one, self.sent) for one in self.instances for _ in range(2)]
        for viewer in self.viewers:
            await viewer.attach()

    async def step(self) -> None:
        """Something."""
        kinds = ["speak"] * 4 + ["save"] * 2 + ["go", "back", "back", "look", "come"]
        rare = ["lose", "take", "open", "stop"]
        kind = self.chance.choice(kinds if self.chance.random() < 0.85 else rare)
        await getattr(self, f"_{kind}")()
        for _ in range(self.chance.randrange(4)):
            await pause()
        for viewer in self.viewers:
            if not viewer.level and self.chance.random() < 0.5:
                await viewer.attach()

    async def rest(self) -> None:
        """Until the answer has ended, and everybody has heard of it."""
        for gate in self._gates:
            gate.set()
        for instance in self.instances:
            instance.log.gone = False
        async with asyncio.timeout(PATIENCE_S):
            while not all(viewer.ended and viewer.level for viewer in self.viewers):
                await self._look_after()
                for viewer in self.viewers:
                    if not viewer.level:
                        await viewer.attach()
                await pause()
        await self.scene.idle()
        for instance in self.instances:
            await instance.hub.check()
        await pause()

    async def _look_after(self) -> None:
        """As instances do, and none takes from the other any more."""
        answer = await self.scene.answer(self.sent)
        self.scene.world.clock.advance(1_000)
        for instance in self.instances:
            await instance.supervisor.checkpoint()
            await instance.hub.sweep()
            await instance.hub.check()
            if answer.incarnation == instance.supervisor._incarnation:
                await instance.supervisor.sweep()

    # ── what may happen ──────────────────────────────────────────────────────────────────────────

    def _instance(self) -> Instance:
        return self.chance.choice(self.instances)

    async def _speak(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            gate = next(self._gates, None)
            if gate is not None:
                gate.set()

    async def _save(self) -> None:
        await self._instance().supervisor.checkpoint()

    async def _go(self) -> None:
        self._instance().log.gone = True

    async def _back(self) -> None:
        self._instance().log.gone = False

    async def _look(self) -> None:
        await self._instance().hub.check()

    async def _come(self) -> None:
        await self.chance.choice(self.viewers).attach()

    async def _lose(self) -> None:
        await self.scene.real_log.drop([self.sent.conversation])

    async def _take(self) -> None:
        await self._instance().supervisor.sweep()

    async def _open(self) -> None:
        hub = self._instance().hub
        try:
            await hub.position(self.scene.world.tenant, self.sent.conversation)
        except StorageError:
            return

    async def _stop(self) -> None:
        if self.chance.random() < 0.3:
            await self.scene.stop(self.sent.answer, wake=self.chance.random() < 0.5)


@pytest.mark.parametrize(
    "seed", [*range(20), *(pytest.param(s, marks=pytest.mark.long) for s in range(20, 400))]
)
async def test_everybody_ends_with_the_same(make: Makes, seed: int) -> None:
    """No hole, no end without its text, one end, and all of it is what is stored."""
    scene = await make(own={"gather_ms": seed % 3})
    walk = Walk(scene, seed)
    await walk.begin()
    for _ in range(STEPS):
        await walk.step()
    await walk.rest()
    stored = (await scene.message(walk.sent)).content
    assert "".join(WORDS).startswith(stored)
    assert [viewer.text for viewer in walk.viewers] == [stored] * 4
    assert len([line for line in scene.lines if line.answer == walk.sent.answer]) == 1
    frames = await scene.frames(walk.sent.conversation)
    assert len([frame for frame in frames if isinstance(frame, Complete)]) <= 1
