"""PostgreSQL restarts, breaks off or holds up: nothing acknowledged is lost, nothing is doubled."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import LONG
from tests.faults.crowd import crowd, settle
from tests.faults.device import Device
from tests.faults.plans import script
from tests.faults.town import Town, before, town_in
from tests.faults.verdict import judge
from tests.support.lateness import within
from tests.support.services import Postgres
from tests.support.waiting import until

SEEDS = range(50 if LONG else 3)
DEVICES = 12 if LONG else 8
HEALED_S = 5.0
BOUND_S = 2.0  # of a wait for a lock, as the device sees it
PROMPT_S = 1.0
LOCKED_S = 30.0 if LONG else 5.0
CUTS = 10 if LONG else 6  # per seed


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server that the test may harm, and that keeps what it committed."""
    with Postgres(durable=True) as postgres:
        yield postgres


@pytest.fixture
async def town(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Town]:
    """One server on it, not started."""
    async with town_in(tmp_path, postgres.url(), names=["ada"]) as town:
        yield town


@pytest.mark.row(10)
async def test_a_database_that_crashes_under_load_loses_nothing_acknowledged(
    town: Town, postgres: Postgres, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages wait as `unavailable`; within 5 s after it is back they are taken again."""
    await town.start_all()
    slowest = 0.0
    for seed in seeds:
        async with crowd(town, seed, DEVICES) as talking:
            probe = await town.connected(f"probe{seed}")
            await until(lambda: sum(len(d.acks) for d in talking) > DEVICES)
            await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
            asked = probe.send({"type": "chat", "content": script(f" p{seed}", 3)})
            await probe.until(lambda: probe.refusals["unavailable"] > 0)  # noqa: B023
            await asyncio.to_thread(postgres.start)
            began = time.monotonic()
            await probe.until(lambda: asked.answer is not None)  # noqa: B023
            slowest = max(slowest, time.monotonic() - began)
    await judge(town, capsys, f"crashes of PostgreSQL, healed in {slowest:.1f} s", len(seeds))
    within(slowest, HEALED_S, "taken again")


@pytest.mark.row(11)
async def test_a_commit_whose_reply_was_lost_is_one_message(
    town: Town, postgres: Postgres, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it arrived or not: the same id is found, or is taken for the first time."""
    async with before(town.instances[0], DATABASE_URL=postgres.url()) as link:
        await town.start_all()
        for seed in seeds:
            chance = random.Random(seed)
            async with crowd(town, seed, DEVICES):
                for _ in range(CUTS):
                    cuts = link.cuts
                    link.cut_at(b"COMMIT", arrived=chance.random() < 0.7)
                    await until(lambda: link.cuts > cuts)  # noqa: B023
        await judge(town, capsys, "cuts at COMMIT", link.cuts)


@asynccontextmanager
async def locked(postgres: Postgres, table: str) -> AsyncIterator[None]:
    """Somebody else holds it."""
    connection = await asyncpg.connect(postgres.url())
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def pong(device: Device) -> float:
    """How long it takes."""
    began, before = time.monotonic(), len(device.heard)
    device.write({"type": "ping"})
    await device.until(lambda: any(f["type"] == "pong" for f in device.heard[before:]))
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.row(13)
@pytest.mark.usefixtures("thrice")
async def test_a_lock_that_others_hold_is_waited_for_no_longer_than_its_bound(
    town: Town, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """`overloaded` within 2 s, pongs at once; and all is taken when it is gone."""
    await town.start_all()
    devices = await asyncio.gather(*(town.connected(f"u{n}") for n in range(DEVICES)))
    running = [d.send({"type": "chat", "content": script(" a", 40, every_ms=50)}) for d in devices]
    for device, request in zip(devices, running, strict=True):
        await device.until(lambda: request.answer is not None)  # noqa: B023
    watch = await town.connected("watch")
    refused: list[float] = []

    async def ask(device: Device) -> None:
        began = time.monotonic()
        device.send({"type": "chat", "content": script(f" {device.name}", 3)})
        await device.until(lambda: device.refusals["overloaded"] > 0)
        refused.append(time.monotonic() - began)

    async with locked(postgres, "messages"):
        over = asyncio.get_running_loop().time() + LOCKED_S
        asking = [asyncio.create_task(ask(device)) for device in devices]
        slowest = 0.0
        while asyncio.get_running_loop().time() < over:
            slowest = max(slowest, await pong(watch))
            await asyncio.sleep(0.1)  # faster is too many frames
        await asyncio.gather(*asking)
    await settle(town, devices)
    waits = f"refused in {max(refused):.2f} s, pong in {slowest:.2f} s"
    await judge(town, capsys, f"a lock for {LOCKED_S:.0f} s, {waits}", 1)
    within(max(refused), BOUND_S, "refused")
    within(slowest, PROMPT_S, "a pong")
