"""Which logs are remembered, and what that costs."""

import pytest

from server.streams.known import Known
from server.streams.stream import Stream


def known(*names: str, idle: int = 2) -> Known:
    streams = Known(idle)
    for name in names:
        streams.of("t", name)
    return streams


def test_a_stream_is_the_same_until_it_is_forgotten() -> None:
    """Whoever asks for it."""
    streams = known("a", idle=0)
    first = streams["a"]
    assert streams.of("t", "a") is first
    streams.forget()
    assert "a" not in streams
    assert streams.of("t", "a") is not first


def test_the_longest_idle_is_forgotten_first() -> None:
    """Being used again counts, before and after it was found idle."""
    streams = known("a", "b", "c", idle=3)
    streams.forget()
    streams.of("t", "a")
    streams.of("t", "d")
    streams.of("t", "e")
    streams.of("t", "d")
    streams.forget()
    assert set(streams) == {"a", "e", "d"}


async def test_what_is_in_use_stays_however_many_are_idle() -> None:
    """Also if its use began when it was found idle already, or by telling rows."""
    streams = known("written", "late", "told", "idle", idle=0)
    streams["written"].writers["m_1"] = object()  # type: ignore[assignment]  # any will do
    await streams["told"].telling.acquire()
    streams._most_idle = 9
    streams.forget()
    streams["late"].writers["m_2"] = object()  # type: ignore[assignment]
    streams._most_idle = 0
    streams.forget()
    assert set(streams) == {"written", "late", "told"}
    streams["told"].telling.release()
    streams["late"].writers.clear()
    streams.touch(streams["late"])
    streams.forget()
    assert set(streams) == {"written"}


def test_looking_after_them_costs_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what is there: a process may remember tens of thousands."""
    looks = 0

    def in_use(stream: Stream) -> bool:
        nonlocal looks
        looks += 1
        return bool(stream.writers)

    monkeypatch.setattr(Stream, "in_use", property(in_use))
    streams = known(*(f"c_{number}" for number in range(1000)), idle=10_000)
    streams.forget()
    assert looks == 1000
    for _ in range(5):
        streams.of("t", "c_7")
        streams.forget()
    assert looks == 1005
