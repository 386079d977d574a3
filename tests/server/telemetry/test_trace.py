"""Trace ids: new ones, and a caller's own."""

import pytest

from server.telemetry.trace import new_trace, trace_from

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def chance(size: int) -> str:
    return "ab" * size


def test_a_new_trace_is_128_bits_of_hex() -> None:
    """Short enough for every field that carries one, and no two alike."""
    assert new_trace(chance) == "ab" * 16
    assert new_trace() != new_trace()


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-00",
        f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
    ],
)
def test_a_valid_traceparent_is_continued(traceparent: str) -> None:
    """A caller finds its request in our log by the id that it knows."""
    assert trace_from(traceparent) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        TRACE,
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 100}",
        f"00-{TRACE[:-1]}٣-{PARENT}-01",
    ],
)
def test_anything_else_gets_a_new_trace(traceparent: str | None) -> None:
    """A header is a stranger's text: nothing of an invalid one is kept."""
    assert trace_from(traceparent, chance) == "ab" * 16
