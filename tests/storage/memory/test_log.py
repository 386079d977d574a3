"""What the conversation log of one process promises beyond the contract."""

from protocol.types import Id, Position
from storage.ids import monotonic_ms
from storage.log import ROWS, Append, Appended, Delivery, Doubt, Following, Live, Retention
from storage.memory.log import MemoryLog

TALK = "c_talk"


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def row(seen: Position, number: int, conversation: Id = TALK) -> Append:
    return Append(conversation, ROWS, 0, number, b"what a person wrote", seen)


async def opened(log: MemoryLog, conversation: Id = TALK) -> Position:
    position = await log.open(conversation, None, 0, {})
    assert position is not None
    return position


async def test_sinks_are_called_before_append_returns() -> None:
    """One delivery per conversation and call, with all that the call stored there."""
    log = MemoryLog()
    position = await opened(log)
    deliveries: list[Delivery] = []
    await log.follow(TALK, deliveries.append)
    await log.append([row(position, 1), row(position, 2)])
    (delivery,) = deliveries
    assert isinstance(delivery, Live)
    assert [entry.seq for entry in delivery.entries] == [1, 2]


async def test_what_a_sink_is_given_is_stored_already() -> None:
    """So a reader that a delivery wakes finds it."""
    log = MemoryLog()
    position = await opened(log)
    found: list[Position] = []
    await log.follow(TALK, lambda _: found.append(log._lives[TALK].position))
    await log.append([row(position, 1), row(position, 2)])
    assert found == [Position(position.epoch, 2)]


async def test_a_sink_may_close_what_follows_it() -> None:
    """Itself and another; the closed one hears nothing of the delivery under way."""
    log = MemoryLog()
    followings: list[Following] = []
    heard: list[str] = []

    def first(_: Delivery) -> None:
        heard.append("first")
        for following in followings:
            following.close()

    followings.append(await log.follow(TALK, first))
    followings.append(await log.follow(TALK, lambda _: heard.append("second")))
    position = await opened(log)
    await log.append([row(position, 1)])
    assert heard == ["first"]
    assert log._subscriptions == {}


async def test_a_conversation_may_be_followed_before_it_has_a_log() -> None:
    """And after its log was dropped."""
    log = MemoryLog()
    deliveries: list[Delivery] = []
    await log.follow(TALK, deliveries.append)
    await opened(log)
    await log.drop([TALK])
    await opened(log)
    assert deliveries == [Doubt(), Doubt(), Doubt()]


async def test_expired_logs_leave_the_memory_when_another_is_opened() -> None:
    """Nothing wakes up for it, and yet a thousand conversations a second do not pile up."""
    clock = Clock()
    log = MemoryLog(Retention(idle_ms=1000), clock)
    for number in range(100):
        await opened(log, f"c_{number}")
        clock.now += 100
    assert len(log._lives) == 11


async def test_the_log_used_last_expires_last() -> None:
    """An append keeps its log however long ago it was opened."""
    clock = Clock()
    log = MemoryLog(Retention(idle_ms=1000), clock)
    first = await opened(log, "c_first")
    await opened(log, "c_second")
    clock.now = 900
    assert await log.append([row(first, 1, "c_first")]) == [Appended(1)]
    clock.now = 1500
    await opened(log, "c_third")
    assert list(log._lives) == ["c_first", "c_third"]


async def test_bodies_are_in_no_repr() -> None:
    """What people write reaches neither logs nor tracebacks."""
    log = MemoryLog()
    position = await opened(log)
    deliveries: list[Delivery] = []
    await log.follow(TALK, deliveries.append)
    asked = row(position, 1)
    await log.append([asked])
    shown = f"{asked!r} {deliveries!r} {await log.read(TALK, position, 1)!r}"
    assert "what a person wrote" not in shown
    assert "19 bytes" in shown


def test_the_clock_of_the_log_counts_milliseconds() -> None:
    """And never goes back."""
    before, after = monotonic_ms(), monotonic_ms()
    assert 0 <= after - before < 60_000
