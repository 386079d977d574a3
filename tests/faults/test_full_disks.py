"""The disk of PostgreSQL, or of Redis, is full: what cannot be kept is refused, and reads work."""

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.faults.crowd import settle, shows
from tests.faults.device import Device
from tests.faults.plans import script
from tests.faults.town import Town, get, town_in
from tests.faults.verdict import judge
from tests.faults.view import Frame
from tests.support.disks import filled, small_disk
from tests.support.services import Postgres, Redis

SEEDS = range(25 if LONG else 3)
DISK_MIB = 64
BIG = 20_000  # characters that cannot be made smaller
REFUSED = 4  # times, of each message, while the disk is full
SLOW = "Redis did not answer within 0.8 s"  # on a machine that is busy with others
WORDS, EVERY_MS = 100, 30  # of an answer that runs meanwhile


class SmallPostgres(Postgres):
    """Its tables are on a small disk, and what it has yet to do to them on another one."""

    def prepare(self) -> None:
        arguments = ["--pgdata=data", f"--waldir={self.folder}/wal", f"--username={self.user}"]
        self._run("initdb", [*arguments, "--auth=trust", "--no-sync", "--encoding=UTF8"])


@pytest.fixture
def postgres() -> Iterator[SmallPostgres]:
    """On a disk of its own, at `data`."""
    postgres = SmallPostgres(durable=True)
    with small_disk(postgres.folder / "data", DISK_MIB), postgres:
        yield postgres
        postgres.stop(postgres.close_signal)
    shutil.rmtree(postgres.folder)


@pytest.fixture
def keeping_redis() -> Iterator[Redis]:
    """One that writes all to a disk of its own."""
    redis = Redis(keep=True, appendfsync="everysec", dir="disk")
    with small_disk(redis.folder / "disk", DISK_MIB), redis:
        yield redis
        redis.stop(redis.close_signal)
    shutil.rmtree(redis.folder)


def big(chance: random.Random, text: str) -> str:
    """A message that needs new room wherever it is kept."""
    return script(text, 3, at=0, thought=chance.randbytes(BIG // 2).hex())


class Scene:
    """Who is there when the disk runs full."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._name = f"u{seed}"
        self._chance = random.Random(seed)

    async def begin(self) -> None:
        """One answer runs, and one has ended."""
        town, name = self._town, self._name
        self.running, self.reader = [
            await town.connected(f"{name}.{role}") for role in ("running", "reader")
        ]
        self.writers = [await town.connected(f"{name}.{at.name}", at) for at in town.instances]
        self.read = await self.reader.ask({"type": "chat", "content": script(f" {name}", 3)})
        await settle(town, [self.reader])
        content = script(f" {name}", WORDS, EVERY_MS)
        self.ran: Frame = await self.running.ask({"type": "chat", "content": content})
        await shows(self.running, self.ran["answer"])

    async def refused(self) -> None:
        """New messages are `unavailable`, however often; what is there is read."""
        asked = [self._ask(writer) for writer in self.writers]
        await asyncio.gather(*asked)
        conversation = self.read["conversation"]
        page = await self.reader.ask({"type": "history", "conversation": conversation})
        assert len(page["messages"]) == 2
        attached = await self.reader.ask({"type": "attach", "conversation": conversation})
        assert attached["type"] == "attached"
        for at in self._town.instances:
            assert await asyncio.to_thread(get, at.url, "/health/live")

    async def end(self) -> None:
        """There is room: all is taken, once."""
        await settle(self._town, [*self.writers, self.running])
        shown = self.running.view.ended[self.ran["answer"]]
        assert shown == (f" {self._name}" * WORDS, "complete", "stop")

    async def _ask(self, writer: Device) -> None:
        """Until one message is refused, and goes on to be; for some there may still be room."""
        for n in range(20):
            content = big(self._chance, f" {writer.user}.{n}")
            request = writer.send({"type": "chat", "content": content})
            before = writer.refusals["unavailable"]
            await writer.until(
                lambda: bool(request.answers) or writer.refusals["unavailable"] > before  # noqa: B023
            )
            if not request.answers:
                await writer.until(lambda: writer.refusals["unavailable"] >= REFUSED)
                assert set(writer.refusals) == {"unavailable"}
                return
        raise AssertionError("it had room all the time")


async def play(town: Town, disk: Path, seeds: range) -> None:
    """Each seed fills the disk once."""
    await town.start_all()
    for seed in seeds:
        scene = Scene(town, seed)
        await scene.begin()
        with filled(disk):
            await scene.refused()
        await scene.end()
    assert sorted(at.life for at in town.instances) == [1, 2], "nobody fell over"


@pytest.mark.row(27)
async def test_a_full_disk_of_postgresql_refuses_what_it_cannot_keep(
    tmp_path: Path,
    postgres: SmallPostgres,
    fresh_redis: Redis,
    seeds: range,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Running answers end when there is room; nothing that was acknowledged is lost."""
    async with town_in(tmp_path, postgres.url(), fresh_redis.url()) as town:
        await play(town, postgres.folder / "data", seeds)
        await judge(town, capsys, "full disks of PostgreSQL", len(seeds))


@pytest.mark.row(27)
async def test_a_full_disk_of_redis_refuses_what_it_cannot_keep(
    tmp_path: Path,
    database: str,
    keeping_redis: Redis,
    seeds: range,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same epochs go on when there is room, and the logs say why they did not, once."""
    async with town_in(tmp_path, database, keeping_redis.url()) as town:
        await play(town, keeping_redis.folder / "disk", seeds)
        running = [device for device in town.devices if device.user.endswith(".running")]
        readers = [device for device in town.devices if device.user.endswith(".reader")]
        logs = [at.parley.log.read_text().splitlines() for at in town.instances]
        await judge(town, capsys, "full disks of Redis", len(seeds))
    # Who attaches without a position has none that counts. Beside that only whoever was refused may
    # be shown a snapshot: its message is sent again, perhaps into another epoch.
    for devices, least in ((running, 0), (readers, 1)):
        for device in devices:
            most = least + device.refusals["unavailable"]
            assert least <= device.view.lost_positions <= most, device
    for log in logs:
        full = [sum("MISCONF" in why for why in reasons) for reasons in outages(log)]
        others = {why for reasons in outages(log) for why in reasons if "MISCONF" not in why}
        assert others <= {SLOW}
        assert max(full) == 1
        assert sum(full) >= len(seeds)  # more, where it also was too slow for a moment


def outages(log: list[str]) -> list[list[str]]:
    """Why Redis did not serve, by the times until it did again."""
    found: list[list[str]] = [[]]
    for line in log:
        if "Redis serves again" in line:
            found.append([])
        elif "Redis does not serve" in line:
            found[-1].append(json.loads(line)["why"])
    return found
