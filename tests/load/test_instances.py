"""The bench measures what it says of several instances, here with numbers as small as may be."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import Makes
from tests.load import instances, returning
from tests.load.instances import Pace
from tests.load.measures import Figure, prepare_conversations
from tests.load.shared import Shared, sent
from tests.load.subjects import Parley
from tests.support.services import Redis

# With others on the processor a token is late, and calls to Redis that are made by time are many.
pytestmark = pytest.mark.alone

PACE = Pace(answers=2, per_second=100, seconds=0.5)


@pytest.fixture(scope="module")
def services(fresh_postgres: Makes) -> Iterator[Shared]:
    """A PostgreSQL, and a Redis of this module's own."""
    with Redis() as redis:
        yield Shared(fresh_postgres, redis)


@pytest.fixture(scope="module")
def running(services: Shared) -> Iterator[list[Parley]]:
    """Two instances of one installation."""
    env = services.env()
    with Parley(env) as first, Parley(env) as second:
        yield [first, second]


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody compares these figures."""
    monkeypatch.setattr(instances, "WARM_UP_S", 0.2)
    monkeypatch.setattr(returning, "WARM_UP_S", 0.2)


def is_well(figure: Figure) -> bool:
    """Whether there is a figure, and nothing went wrong meanwhile."""
    return 0 < figure.value < float("inf") and "NOT WELL" not in figure.note


async def test_a_resume_is_timed_to_its_last_frame(running: list[Parley]) -> None:
    """Through the instance that made the answer and through the other one."""
    first, second = running
    made = await returning.answered(first, "u", answers=3, tokens=50)
    for subject in (first, second):
        p99, frames = await returning.resumes(subject, made, tokens=50)
        assert is_well(p99), p99
        assert frames.value == 1


async def test_a_resume_that_lacks_text_is_said_to_be_wrong(running: list[Parley]) -> None:
    """A figure of something else than what was to be measured is worth nothing."""
    made = await returning.answered(running[0], "u", answers=1, tokens=5)
    p99, _ = await returning.resumes(running[0], made, tokens=6)
    assert "NOT WELL: 1 not all of the text" in p99.note


async def test_commands_to_redis_are_counted_per_token(
    running: list[Parley], services: Shared
) -> None:
    """Each token is in an append at the most, so the figure cannot be far above one."""
    figure = await instances.commands(running[0], services, PACE)
    assert is_well(figure), figure
    assert figure.value < 2


def test_what_a_script_calls_was_not_sent() -> None:
    """Redis counts it like what clients send."""
    stats = {"cmdstat_evalsha": {"calls": 3}, "cmdstat_xadd": {"calls": 9}}
    assert sent(stats, {"xadd", "publish"}) == 3


async def test_what_redis_adds_is_told_with_what_both_sides_leave_out(services: Shared) -> None:
    """The least way through it is no delay to who takes the quickest token for punctual."""
    least = await instances.least_way(services.redis.url(), times=5)
    assert 0 < least < 1
    assert instances.added(Figure(3.0), Figure(2.0), 0.5).value == 1.5


def test_what_went_wrong_on_either_side_of_a_difference_is_said() -> None:
    """It is worth nothing then."""
    well, unwell = Figure(3.0), Figure(2.0, note="NOT WELL: 1 lost")
    assert not is_well(instances.added(well, unwell, 0.5))
    assert not is_well(instances.added(unwell, well, 1.5))
    assert is_well(instances.added(well, Figure(2.0), 0.5))


async def test_each_instance_has_its_share_of_a_token(running: list[Parley]) -> None:
    """The second one's readers get what the first one's get."""
    [alone] = await instances.shares(running[:1], PACE)
    assert is_well(alone), alone
    # As a third one the second is a third figure, and all that matters of it here.
    owner, relay, _ = await instances.shares([*running, running[1]], PACE)
    assert is_well(owner), owner
    assert is_well(relay), relay


async def test_a_crowd_comes_back_to_its_conversations(running: list[Parley]) -> None:
    """Each by its position, and no earlier than it was cut."""
    people = [f"u{number}" for number in range(10)]
    made = await prepare_conversations(running[0].database, people)
    figure = await returning.return_of_all(running[0], people, made)
    assert is_well(figure), figure
    assert "10 of 10" in figure.note


async def test_who_is_refused_comes_back_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that a client obeys is no error; one that says nothing of later is."""
    monkeypatch.setattr(returning, "AGAIN_S", 0)
    came, thrice = 0, asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        if came == 3:
            thrice.set()
        await reader.readuntil(b"\r\n\r\n")
        again = b"Retry-After: 0\r\n" if came == 1 else b""
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\n" + again + b"\r\n")
        writer.close()

    server, subject = await asyncio.start_server(refuse, "127.0.0.1", 0), Parley()
    with ExitStack() as stack:
        stack.push(subject)  # it is not started, and its folder goes all the same
        subject.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        crowd = returning.Crowd(subject)
        coming = asyncio.create_task(crowd.come_back(returning.Left("u", "c", "e", 1)))
        await thrice.wait()
        coming.cancel()
        errors = dict(crowd.tally.errors)
        crowd.cut()
    server.close()
    assert crowd.refused == 1
    assert errors == {"HTTP/1.1 503 Service Unavailable": 1}
