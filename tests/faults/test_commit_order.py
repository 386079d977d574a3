"""Two instances write to one conversation, and whoever began first is committed last."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import LONG
from tests.faults.crowd import settle
from tests.faults.device import Device
from tests.faults.plans import script
from tests.faults.town import Town, before, town_in
from tests.faults.verdict import judge
from tests.support.chaos import How, Link
from tests.support.services import Redis
from tests.support.waiting import until

SEEDS = range(25 if LONG else 3)


class Gate:
    """Transactions that wrote the mark are not committed while it is shut."""

    def __init__(self) -> None:
        self.mark = b""
        self.shut = False
        self.holds = False  # a COMMIT waits before it


class Commits:
    """What one connection says to the database, on its way through a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._marked = False
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """All of it passes, but a COMMIT behind the mark."""
        gate = self._gate
        self._marked = gate.shut and (self._marked or gate.mark in data)
        if self._marked and b"COMMIT" in data:
            self._held, gate.holds = data, True
            return b""
        return self.rest() + data

    def rest(self) -> bytes:
        """What was held back, once the gate is open."""
        if self._gate.shut:
            return b""
        held, self._held = self._held, b""
        return held


class Writers:
    """Two devices of one user, at an instance each, with one conversation."""

    def __init__(self, first: Device, second: Device, conversation: str) -> None:
        self.first = first
        self.second = second
        self._conversation = conversation

    def ask(self, device: Device, text: str) -> None:
        """A message to the conversation; it may wait behind the other answer."""
        frame = {"type": "chat", "conversation": self._conversation}
        device.send({**frame, "content": script(text, 3), "on_busy": "queue"})


async def writers(town: Town, seed: int) -> Writers:
    """Both follow the conversation, in which nothing happens."""
    ada, bob = town.instances
    user = f"u{seed}.{len(town.devices)}"
    first, second = await town.connected(user, ada), await town.connected(user, bob)
    ack = await first.ask({"type": "chat", "content": script(f" {user}", 3)})
    await second.ask({"type": "attach", "conversation": ack["conversation"]})
    await settle(town, [first])
    return Writers(first, second, ack["conversation"])


@pytest.fixture
async def gated(
    tmp_path: Path, database: str, fresh_redis: Redis
) -> AsyncIterator[tuple[Town, Link, Gate]]:
    """Two servers, the first of which reaches the database through a gate."""
    gate = Gate()
    async with (
        town_in(tmp_path, database, fresh_redis.url()) as town,
        before(town.instances[0], DATABASE_URL=database) as link,
    ):
        link.up.filter = lambda: Commits(gate)
        await town.start_all()
        yield town, link, gate


async def until_one_waits(database: str) -> None:
    """Until a transaction waits for what another one has locked."""
    connection = await asyncpg.connect(database)
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    try:
        while not await connection.fetchval(waits):
            pass
    finally:
        await connection.close()


@pytest.mark.row(12)
@pytest.mark.parametrize("arrives", [True, False], ids=["committed late", "rolled back"])
async def test_a_late_commit_is_neither_skipped_nor_overtaken(
    gated: tuple[Town, Link, Gate],
    database: str,
    arrives: bool,
    seeds: range,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who came second waits for the first, or takes its place; no device misses a `seq`."""
    town, link, gate = gated
    for seed in seeds:
        both = await writers(town, seed)
        gate.mark, gate.shut, gate.holds = f"first.{seed}".encode(), True, False
        both.ask(both.first, f" first.{seed}")
        await until(lambda: gate.holds)
        both.ask(both.second, f" second.{seed}")
        async with asyncio.timeout(20):
            await until_one_waits(database)
        assert [both.first.in_flight != [], both.second.in_flight != []] == [True, True]
        if not arrives:
            link.cut(How.RST)
        gate.shut = False
        await settle(town, [both.first, both.second])
        orders = [said(device.view.told)[-2:] for device in (both.first, both.second)]
        names = ["first", "second"] if arrives else ["second", "first"]
        assert orders == [[f"{name}.{seed}" for name in names]] * 2
    what = "commits that came late" if arrives else "commits that never came"
    await judge(town, capsys, what, len(seeds))


def said(told: dict[tuple[str, str, int], dict[str, object]]) -> list[str]:
    """What was asked for, in the order of the log."""
    found = []
    for _, frame in sorted(told.items(), key=lambda item: item[0][2]):
        message = frame.get("message")
        if frame["type"] == "message" and isinstance(message, dict) and message["role"] == "user":
            found.append(str(message["content"]).partition('"text": " ')[2].partition('"')[0])
    return found
