"""Redis restarts, hangs, forgets, is full or deaf: the database is the truth, nobody guesses."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import LONG
from tests.faults.crowd import crowd, settle, shows
from tests.faults.device import Device
from tests.faults.plans import script
from tests.faults.shuffler import Shuffler
from tests.faults.town import Town, answers_at, before, token, town_in
from tests.faults.verdict import judge
from tests.faults.view import Frame
from tests.support.chaos import How, Way, chaos
from tests.support.lateness import within
from tests.support.redises import Failover
from tests.support.services import LOOPBACK, Redis
from tests.support.waiting import until

SEEDS = range(20 if LONG else 3)
DEVICES = 12 if LONG else 8
LEVEL_S = 5.0  # after Redis is back, or lost its logs, until everybody is level
PROMPT_S = 0.2  # for a `pong`, whatever Redis does
HUNG_S = 30.0 if LONG else 4.0
HANGS = 5 if LONG else 3
KILLS_S = 10.0 if LONG else 2.0
KILL_EVERY_S = 0.2
REFUSED = 40 if LONG else 8  # times, of one message while Redis is full
LIMIT = 20  # messages a minute
SHUFFLED = 200 if LONG else 24  # answers
FLUSHES = 5 if LONG else 2  # per seed


async def settled(town: Town, user: str) -> Device:
    """A device that follows a conversation in which nothing happens."""
    device = await town.connected(user)
    await device.ask({"type": "chat", "content": script(f" {user}", 3)})
    await settle(town, [device])
    return device


async def level(devices: list[Device], lost: list[int], since: float) -> float:
    """Until all were told, unasked, that their positions are lost; how long that took."""
    for device, count in zip(devices, lost, strict=True):
        await device.until(lambda: device.view.lost_positions > count)  # noqa: B023
    return time.monotonic() - since


async def refused(device: Device, content: str) -> None:
    """A message is `unavailable`; it is asked again until it is not."""
    device.send({"type": "chat", "content": content})
    await device.until(lambda: device.refusals["unavailable"] > 0)


async def comes_back(town: Town, device: Device) -> None:
    """It leaves, and attaches anew at another server."""
    device.drop(How.RST)
    await town.connect(device)


async def probe(town: Town, content: str) -> float:
    """How long it takes until a message is taken."""
    began = time.monotonic()
    device = await town.connected(f"probe{len(town.devices)}")
    await device.ask({"type": "chat", "content": content})
    return time.monotonic() - began


async def talking(devices: list[Device]) -> None:
    """Until all of them together have a good deal of answers."""
    first = sum(len(device.acks) for device in devices)
    await until(lambda: sum(len(device.acks) for device in devices) > first + len(devices))


@pytest.mark.row(4)
@pytest.mark.parametrize("keep", [True, False], ids=["with AOF", "without"])
async def test_a_redis_that_restarts_under_load_is_a_new_epoch_for_everybody(
    tmp_path: Path, database: str, keep: bool, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers go on meanwhile, new messages wait, and 5 s after it is back all is as before."""
    with Redis(keep=keep) as redis:
        async with town_in(tmp_path, database, redis.url()) as town:
            await town.start_all()
            idle = [await settled(town, f"idle{n}") for n in range(4)]
            away = await settled(town, "away")
            slowest = 0.0
            for seed in seeds:
                async with crowd(town, seed, DEVICES) as devices:
                    await talking(devices)
                    lost = [device.view.lost_positions for device in idle]
                    redis.kill9()
                    before_it_came = away.refusals.total()
                    coming = asyncio.create_task(comes_back(town, away))
                    writer = await town.connected(f"writer{seed}")
                    await refused(writer, script(f" {seed}", 3))
                    await until(lambda: away.refusals.total() > before_it_came)  # noqa: B023
                    redis.start()
                    back = time.monotonic()
                    slowest = max(slowest, await level(idle, lost, back))
                    await settle(town, [writer])
                    await coming
                    slowest = max(slowest, time.monotonic() - back)
            what = f"restarts of Redis {'with' if keep else 'without'} AOF"
            await judge(town, capsys, f"{what}, level in {slowest:.1f} s", len(seeds))
            within(slowest, LEVEL_S, "level")


@pytest.mark.row(5)
async def test_subscriptions_that_are_cut_all_the_time_lose_nothing(
    town: Town, fresh_redis: Redis, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """Holes are found and filled from the log; a position only where a message was refused."""
    await town.start_all()
    everybody: list[Device] = []
    kills = 0
    for seed in seeds:
        async with crowd(town, seed, DEVICES) as devices:
            over = time.monotonic() + KILLS_S
            while time.monotonic() < over:
                kills += int(fresh_redis.ask("CLIENT", "KILL", "TYPE", "pubsub"))
                await asyncio.sleep(KILL_EVERY_S)
        everybody += devices
    await judge(town, capsys, "subscriptions cut", kills)
    for device in everybody:
        # Whose message waited for a Redis that was away sends it again, perhaps into another epoch.
        assert device.view.lost_positions <= device.refusals["unavailable"], device


@pytest.mark.row(6)
async def test_a_log_that_is_flushed_is_told_to_those_who_are_there_and_those_who_come_back(
    town: Town, fresh_redis: Redis, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """`recovered: false` unasked, and at the next attach; no seq comes twice in an epoch."""
    await town.start_all()
    here = [await settled(town, f"here{n}") for n in range(3)]
    away = [await settled(town, f"away{n}") for n in range(3)]
    slowest = 0.0
    for seed in seeds:
        async with crowd(town, seed, DEVICES) as devices:
            for _ in range(FLUSHES):
                await talking(devices)
                for device in away:
                    device.drop(How.FIN)
                lost = [device.view.lost_positions for device in (*here, *away)]
                fresh_redis.ask("FLUSHALL")
                flushed = time.monotonic()
                for device in away:
                    await town.connect(device)
                slowest = max(slowest, await level([*here, *away], lost, flushed))
        for device in devices:  # or each flush would lose more logs than the one before it
            await device.close()
    flushes = len(seeds) * FLUSHES
    await judge(town, capsys, f"flushed logs, told in {slowest:.1f} s", flushes)
    within(slowest, LEVEL_S, "level")


@pytest.mark.row(7)
async def test_a_replica_that_takes_over_with_less_is_a_new_epoch(
    tmp_path: Path, database: str, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the old primary alone had heard is not missed by anybody."""
    with Failover() as pair:
        async with chaos(pair.primary.port) as link:
            url = f"redis://{LOOPBACK}:{link.port}"
            async with town_in(tmp_path, database, url) as town:
                await town.start_all()
                idle = [await settled(town, f"idle{n}") for n in range(4)]
                slowest = 0.0
                for seed in seeds:
                    async with crowd(town, seed, DEVICES) as devices:
                        await talking(devices)
                        pair.promote()
                        await talking(devices)
                        lost = [device.view.lost_positions for device in idle]
                        pair.replica.kill9()
                        link.target = pair.primary.port
                        link.cut()
                        slowest = max(slowest, await level(idle, lost, time.monotonic()))
                        await asyncio.to_thread(pair.replica.start)
                        await asyncio.to_thread(pair.demote)
                await judge(town, capsys, f"failovers, level in {slowest:.1f} s", len(seeds))
                within(slowest, LEVEL_S, "level")


@asynccontextmanager
async def pongs(device: Device) -> AsyncIterator[Callable[[], float]]:
    """Pings all the time; the slowest pong yet."""
    slowest = 0.0

    async def ping() -> None:
        nonlocal slowest
        while True:
            seen, began = len(device.heard), time.monotonic()
            device.write({"type": "ping"})
            await device.until(lambda: any(f["type"] == "pong" for f in device.heard[seen:]))  # noqa: B023
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.1)  # faster is too many frames

    task = asyncio.create_task(ping())
    try:
        yield lambda: slowest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.alone
@pytest.mark.row(8)
async def test_a_redis_that_hangs_is_waited_for_by_nobody_and_goes_on_as_it_was(
    town: Town, fresh_redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers go on, new messages are refused, pongs come; then the same epoch goes on."""
    await town.start_all()
    slowest = longest = 0.0
    for seed in range(HANGS):
        devices = [await town.connected(f"u{seed}.{n}") for n in range(DEVICES)]
        content = script(" w", 100, every_ms=20)
        acks = [await device.ask({"type": "chat", "content": content}) for device in devices]
        for device, ack in zip(devices, acks, strict=True):
            await shows(device, ack["answer"])  # so that it follows its log by now
        watch, writer = [await town.connected(f"{name}{seed}") for name in ("watch", "writer")]
        async with pongs(watch) as worst:
            with fresh_redis.stop_cont():
                over = time.monotonic() + HUNG_S
                asked = time.monotonic()
                await refused(writer, script(f" {seed}", 3))
                longest = max(longest, time.monotonic() - asked)
                await asyncio.sleep(over - time.monotonic())
            await settle(town, [*devices, writer])
            slowest = max(slowest, worst())
        assert sum(device.view.lost_positions for device in devices) == 0
        for device, ack in zip(devices, acks, strict=True):
            assert device.view.ended[ack["answer"]] == (" w" * 100, "complete", "stop")
    await judge(town, capsys, f"hangs of Redis, pong in {slowest:.2f} s", HANGS)
    within(longest, 2.0, "refused")
    within(slowest, PROMPT_S, "a pong")


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """It stores nothing more meanwhile."""
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.row(9)
async def test_a_full_redis_loses_nothing_and_nobody_falls_over(
    town: Town, fresh_redis: Redis, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """New messages are `unavailable`, the first one too, until there is room; then all ends."""
    await town.start_all()
    refusals = 0
    for seed in seeds:
        async with crowd(town, seed, DEVICES) as devices:
            await talking(devices)
            writers = [await town.connected(f"writer{seed}", at) for at in town.instances]
            with full(fresh_redis):
                asked = [
                    writer.send({"type": "chat", "content": script(f" {writer.name}", 3)})
                    for writer in writers
                ]
                for writer in writers:
                    await writer.until(lambda: writer.refusals["unavailable"] >= REFUSED)  # noqa: B023
                assert [request.answers for request in asked] == [[], []]
                assert {code for writer in writers for code in writer.refusals} == {"unavailable"}
                refusals += sum(writer.refusals["unavailable"] for writer in writers)
                assert [await asyncio.to_thread(answers_at, at.url) for at in town.instances]
            await settle(town, writers)
    what = f"Redis without memory, {refusals} refused"
    await judge(town, capsys, what, len(seeds))
    assert sorted(at.life for at in town.instances) == [1, 2], "nobody fell over"


async def flood(device: Device, messages: int) -> Counter[str]:
    """So many new messages, one after the other; what they were told."""
    told = Counter[str]()
    for _ in range(messages):
        before = len(device.heard)
        device.write({"type": "chat", "id": device.fresh_id(), "content": script(" x", 1)})
        await device.until(lambda: any("ref" in frame for frame in device.heard[before:]))  # noqa: B023
        [answer] = [frame for frame in device.heard[before:] if "ref" in frame]
        told[answer["code"] if answer["type"] == "error" else answer["type"]] += 1
    return told


@pytest.mark.row(9)
async def test_a_full_redis_leaves_each_instance_its_own_limit(
    tmp_path: Path, database: str, fresh_redis: Redis, seeds: range
) -> None:
    """Whoever floods one is `unavailable` as often as its limit says, and then `rate_limited`."""
    limit = {"PARLEY_LIMITS_MESSAGES_PER_MINUTE": str(LIMIT)}
    async with town_in(tmp_path, database, fresh_redis.url(), **limit) as town:
        await town.start_all()
        for seed in seeds:
            devices = [Device(f"f{seed}", f"f{seed}", token(f"f{seed}")) for _ in town.instances]
            for device, at in zip(devices, town.instances, strict=True):
                await device.connect(at.url)
            with full(fresh_redis):
                for device in devices:
                    began = time.monotonic()
                    told = await flood(device, 2 * LIMIT)
                    most = LIMIT + math.ceil((time.monotonic() - began) * LIMIT / 60)
                    assert LIMIT <= told["unavailable"] <= most
                    assert told["unavailable"] + told["rate_limited"] == 2 * LIMIT
            for device in devices:
                await device.close()


@pytest.mark.row(23)
async def test_deliveries_that_come_twice_or_in_another_order_are_put_right(
    tmp_path: Path, database: str, fresh_redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """What devices are told is in order, without holes, and nothing twice."""
    async with town_in(tmp_path, database, fresh_redis.url()) as town:
        ada, bob = town.instances
        async with (
            before(ada, REDIS_URL=fresh_redis.url()) as first,
            before(bob, REDIS_URL=fresh_redis.url()) as second,
        ):
            chance = random.Random(1)
            shufflers: list[Shuffler] = []

            def shuffler() -> Shuffler:
                shufflers.append(Shuffler(chance))
                return shufflers[-1]

            for link in (first, second):
                link.down = Way(filter=shuffler)
            await town.start_all()
            watching: list[tuple[Device, Frame]] = []
            for n in range(SHUFFLED):
                sender = await town.connected(f"u{n}", ada)
                viewer = await town.connected(f"u{n}", bob)
                content = script(f" {n}", 60, every_ms=chance.choice([1, 5, 15]))
                ack = await sender.ask({"type": "chat", "content": content})
                await viewer.ask({"type": "attach", "conversation": ack["conversation"]})
                watching.append((viewer, ack))
            async with asyncio.timeout(60):
                for viewer, ack in watching:
                    await viewer.until(lambda: viewer.view.has_ended(ack["answer"]))  # noqa: B023
            faults = sum(each.faults for each in shufflers)
            await judge(town, capsys, f"deliveries of {SHUFFLED} answers, swapped or twice", faults)
