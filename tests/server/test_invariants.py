"""Whatever happens between devices, answers and the log, in any order: what is promised holds.

Random walks over one conversation and a few devices, with a log that loses replies and itself.
Each device is a replica that takes every frame as a client must; at no moment may one show a hole
or a text that does not fit, and at rest all hold what SQL has.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.frames.from_server import Ack, Attached, Complete, Error, Logged
from protocol.replica import Effect, Replica
from server.limits.options import Options as Limits
from storage.sql import open_database
from storage.sql.migrate import migrate
from tests.support.faultylog import Fault, FaultyLog
from tests.support.lobby import Caller, Lobby
from tests.support.waiting import pause, until

STEPS = 60
REFUSALS = {"busy", "not_found"}  # of what a walk may ask for


@pytest.fixture
async def lobby(tmp_path: Path) -> AsyncIterator[Lobby]:
    """Over a log with faults."""
    db = await open_database(f"sqlite:///{tmp_path}/lobby.db")
    await migrate(db)
    limits = Limits(messages_per_minute=1_000_000)
    lobby = await Lobby(db, limits=limits, log=FaultyLog()).open()
    yield lobby
    lobby.faults.clear()  # the log's, which are reported
    await lobby.close()
    await db.close()


class Device:
    """A client that keeps the conversation as PROTOCOL.md says."""

    def __init__(self, lobby: Lobby, conversation: str) -> None:
        self._lobby = lobby
        self.replica = Replica(conversation)
        self.ends: Counter[tuple[str, str]] = Counter()  # (epoch, answer)
        self._taken = 0
        self.caller: Caller

    async def connect(self) -> None:
        """From where it stands, if it stands anywhere."""
        self.replica.lost()
        at = self.replica.resume
        position = {} if at is None else {"epoch": at.epoch, "seq": at.seq}
        attach = [{"conversation": self.replica.conversation, **position}]
        self._taken = 0
        self.caller = await self._lobby.greeted(attach=attach)
        await until(lambda: self.caller.of("attached"))

    async def leave(self) -> None:
        """Cut."""
        self.take()
        await self.caller.leave()

    def take(self) -> None:
        """Take what came: all of it must fit."""
        frames = self.caller.frames
        for frame in frames[self._taken :]:
            if isinstance(frame, Error):
                assert frame.code in REFUSALS, frame
            if isinstance(frame, Attached | Logged):
                effect = self.replica.apply(frame)
                assert effect not in (Effect.HOLE, Effect.MISMATCH), (effect, frame)
            if isinstance(frame, Complete) and self.replica.position is not None:
                self.ends[self.replica.position.epoch, frame.answer] += 1
        self._taken = len(frames)


class Walk:
    """What happens, by chance."""

    def __init__(self, lobby: Lobby, seed: int) -> None:
        self.lobby = lobby
        self.chance = random.Random(seed)
        self.ids = 0
        self.acked: dict[str, Ack] = {}
        self.devices: list[Device] = []
        assert isinstance(lobby.log, FaultyLog)
        self.log = lobby.log

    async def begin(self) -> None:
        """A conversation, and three who follow it."""
        self.first = await self.lobby.world.exchange()
        for _ in range(3):
            device = Device(self.lobby, self.first.conversation)
            await device.connect()
            self.devices.append(device)

    async def step(self) -> None:
        """Something."""
        kinds = ["ask", "ask", "again", "stop", "cut", "jam", "fault", "lose", "save", "look"]
        await getattr(self, f"_{self.chance.choice(kinds)}")()
        for _ in range(self.chance.randrange(30)):
            await asyncio.sleep(0)
        for device in self.devices:
            device.take()

    async def rest(self) -> None:
        """Until every answer has ended, and everybody has heard of it."""
        for device in self.devices:
            device.caller.wire.drain()
        while True:
            await self.lobby.quiet()
            rows = await self.lobby.world.rows("SELECT id FROM answers WHERE state <> 'ended'")
            if not rows:
                break
            for row in rows:
                await self.lobby.conversations.stop(self.lobby.world.owner, str(row["id"]))
            await pause()
        self.lobby.world.clock.advance(6_000)
        for _ in range(3):
            await self.lobby.hub.sweep()
            await self.lobby.hub.check()
            await self.lobby.quiet()
            for _ in range(50):
                await asyncio.sleep(0)

    # ── what may happen ──────────────────────────────────────────────────────────────────────────

    def _device(self) -> Device:
        return self.chance.choice(self.devices)

    async def _ask(self) -> None:
        self.ids += 1
        id, caller = f"m-{self.ids}", self._device().caller
        script = {
            "tokens": self.chance.randrange(1, 60),
            "text": self.chance.choice(["a ", "😀", "déjà "]),
            "every_ms": self.chance.choice([0, 0, 0.5]),
        }
        on_busy = self.chance.choice(["queue", "interrupt", "reject"])
        answers = [ack.answer for ack in self.acked.values()]
        match self.chance.randrange(4):
            case 0 if answers:
                answer = self.chance.choice(answers)
                caller.say("regenerate", id=id, answer=answer, on_busy=on_busy)
            case _:
                caller.chat(
                    id, script=script, conversation=self.first.conversation, on_busy=on_busy
                )
        await until(lambda: caller.wire.writable is False or self._answered(caller, id))

    def _answered(self, caller: Caller, id: str) -> bool:
        for frame in caller.frames:
            if getattr(frame, "ref", None) == id:
                if isinstance(frame, Ack):
                    self.acked[id] = frame
                return True
        return False

    async def _again(self) -> None:
        """The same id is the same answer."""
        repeated = [id for id in self.acked if id.startswith("c-")]
        if not repeated:
            id = "c-1"
            self._device().caller.chat(id, conversation=self.first.conversation)
        else:
            caller = self._device().caller
            caller.chat(repeated[0], conversation=self.first.conversation)
        for device in self.devices:
            self._answered(device.caller, "c-1")

    async def _stop(self) -> None:
        if self.acked:
            ack = self.chance.choice(list(self.acked.values()))
            self._device().caller.say("stop", answer=ack.answer)

    async def _cut(self) -> None:
        device = self._device()
        await device.leave()
        await device.connect()

    async def _jam(self) -> None:
        wire = self._device().caller.wire
        if wire.writable:
            wire.jam()
        else:
            wire.drain()

    async def _fault(self) -> None:
        self.log.faults.append(self.chance.choice(list(Fault)))

    async def _lose(self) -> None:
        if not self.chance.randrange(3):
            await self.log.drop([self.first.conversation])

    async def _save(self) -> None:
        await self.lobby.supervisor.checkpoint()

    async def _look(self) -> None:
        await self.lobby.hub.check()


@pytest.mark.parametrize(
    "seed", [*range(10), *(pytest.param(s, marks=pytest.mark.long) for s in range(10, 300))]
)
async def test_everybody_ends_with_what_is_stored(lobby: Lobby, seed: int) -> None:
    """No hole, no text twice, one end per answer, and every acknowledged answer ended."""
    walk = Walk(lobby, seed)
    await walk.begin()
    for _ in range(STEPS):
        await walk.step()
    await walk.rest()
    owner = lobby.world.owner
    for device in walk.devices:
        device.take()
        assert device.replica.level
        assert device.replica.position == await lobby.hub.head(walk.first.conversation)
        assert device.replica.answers == {}
        assert max(device.ends.values(), default=1) == 1
        for message in device.replica.messages.values():
            stored = await lobby.store.history.message(owner, message.id)
            assert message.content == stored.content
    for ack in walk.acked.values():
        answered = (await lobby.store.history.message(owner, ack.answer)).answered
        assert answered is not None
        assert answered.outcome is not None
    ends = Counter(line.answer for line in lobby.ended)
    assert max(ends.values(), default=1) == 1
