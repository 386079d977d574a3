"""Health: of the process, of what it leans on, and what it is."""

import asyncio

import pytest

from server.http.health import Probe, Readiness
from server.http.options import Options
from storage.errors import Unavailable
from tests.server.http.world import World
from tests.support.logs import logging_to_memory

CANARY = "my dog is called Wotan"


class Dependency:
    """Something that answers, fails or hangs, as it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: BaseException | None = None
        self.reached = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self) -> None:
        self.asked += 1
        self.reached.set()
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def readiness(time: Time, **probes: Probe) -> Readiness:
    return Readiness(probes, Options(probe_s=0.05, probe_keep_s=1.0), time)


async def test_a_process_that_answers_lives(world: World) -> None:
    """Whatever it leans on is doing."""
    hanging = Dependency()
    hanging.answers.clear()
    world.change(probes={"database": hanging})
    assert (await world.get("/health/live")).status == 200
    assert hanging.asked == 0


async def test_it_is_ready_while_all_it_leans_on_is(world: World) -> None:
    """Each is named."""
    database, log = Dependency(), Dependency()
    world.change(probes={"database": database, "log": log})
    answer = await world.get("/health/ready")
    assert answer.status == 200
    assert answer.json() == {
        "ready": True,
        "draining": False,
        "dependencies": {"database": "ok", "log": "ok"},
    }
    database.failure = Unavailable(CANARY)
    world.now += 1
    answer = await world.get("/health/ready")
    assert answer.status == 503
    assert answer.json()["dependencies"] == {"database": "failed", "log": "ok"}
    assert CANARY not in answer.body.decode()


async def test_a_draining_process_is_not_ready_at_once(world: World) -> None:
    """That is no dependency, and is not remembered."""
    assert (await world.get("/health/ready")).status == 200
    world.draining = True
    answer = await world.get("/health/ready")
    assert (answer.status, answer.json()["draining"]) == (503, True)
    assert (await world.get("/health/live")).status == 200


async def test_a_flood_of_questions_asks_the_dependencies_once() -> None:
    """Those that come together wait for one look; those that come soon are told the same."""
    time, database = Time(), Dependency()
    checks = readiness(time, database=database)
    await asyncio.gather(*(checks.look() for _ in range(100)))
    time.now = 0.9
    await checks.look()
    assert database.asked == 1
    time.now = 1.0
    await checks.look()
    assert database.asked == 2


async def test_a_dependency_that_hangs_is_slow_and_is_not_asked_twice() -> None:
    """The answer comes in time, and no questions pile up."""
    time, database, log = Time(), Dependency(), Dependency()
    database.answers.clear()
    checks = readiness(time, database=database, log=log)
    for second in range(3):
        time.now = float(second)
        assert await checks.look() == {"database": "slow", "log": "ok"}
    assert (database.asked, log.asked) == (1, 3)
    database.answers.set()
    time.now = 9.0
    assert await checks.look() == {"database": "ok", "log": "ok"}


async def test_a_look_goes_on_when_the_one_who_asked_leaves() -> None:
    """Others wait for it."""
    time, database = Time(), Dependency()
    database.answers.clear()
    checks = Readiness({"database": database}, Options(probe_s=2.0), time)
    first = asyncio.create_task(checks.look())
    second = asyncio.create_task(checks.look())
    await database.reached.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    database.answers.set()
    assert await second == {"database": "ok"}
    assert database.asked == 1


async def test_a_dependency_that_is_cancelled_has_failed() -> None:
    """It ends no look."""
    database = Dependency()
    database.failure = asyncio.CancelledError()
    assert await readiness(Time(), database=database).look() == {"database": "failed"}


async def test_a_change_is_written_down_once() -> None:
    """When it fails and when it is back, without the words of the failure."""
    with logging_to_memory() as log:
        time, database = Time(), Dependency()
        checks = readiness(time, database=database)
        for failure in (None, Unavailable("closed"), ValueError(CANARY), None):
            database.failure = failure
            time.now += 1
            await checks.look()
        lines = log.lines()
    assert [(line["dependency"], line["state"]) for line in lines] == [
        ("database", "failed"),
        ("database", "ok"),
    ]
    assert lines[0]["exception"].startswith("Unavailable: the store is unavailable (closed)")
    assert CANARY not in str(lines)


async def test_health_says_what_runs_and_what_it_carries(world: World) -> None:
    """And nothing that is secret: these fields and no more."""
    _ = world.client
    world.now += 12.4
    assert (await world.get("/health")).json() == {
        "name": "parley",
        "version": "0.1.0",
        "instance": "i1",
        "uptime_s": 12,
        "schema_version": 2,
        "sockets": 3,
        "answers": 2,
        "loop_held": 0,
        "loop_longest_ms": 0,
        "draining": False,
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_health_can_only_be_read(world: World, method: str) -> None:
    """There is nothing to change."""
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await world.send(method, path)).error() == (405, "method_not_allowed")
