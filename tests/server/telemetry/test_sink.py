"""Lines on their way out, when the other end is slow, full or gone."""

import os
import threading
from collections.abc import Callable, Iterator
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any

import pytest

from server.telemetry.sink import Sink
from tests.support.logs import Memory

WAIT_S = 5.0


class Held(Memory):
    """A stream that is stuck until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()

    def write(self, data: Any) -> int:
        self.reached.set()
        assert self.go.wait(WAIT_S)
        return super().write(data)


class Moody(Memory):
    """A stream that does with each write what the next mood says."""

    def __init__(self, *moods: Callable[[Any], int | None]) -> None:
        super().__init__()
        self.moods = list(moods)
        self.written = threading.Semaphore(0)

    def write(self, data: Any) -> int:
        try:
            taken = self.moods.pop(0)(data) if self.moods else len(data)
        finally:
            self.written.release()
        return super().write(data[:taken]) if taken else taken  # type: ignore[return-value]


def full(_: Any) -> int:
    raise OSError(28, "No space left on device")


Opens = Callable[..., Sink]


@pytest.fixture
def open_sink() -> Iterator[Opens]:
    """Sinks that are closed after the test."""
    opened: list[Sink] = []

    def opens(stream: RawIOBase, most_bytes: int = 1000) -> Sink:
        sink = Sink(stream, lost_line=lambda count: f"lost {count}", most_bytes=most_bytes)
        opened.append(sink)
        return sink

    yield opens
    for sink in opened:
        sink.close()


def test_lines_are_written_in_order(open_sink: Opens) -> None:
    """Closing writes what waits."""
    memory = Memory()
    sink = open_sink(memory)
    for line in ("one", "zwei ä", "\ud800"):
        sink.put(line)
    sink.close()
    assert memory.taken.decode() == "one\nzwei ä\n?\n"


def test_a_stuck_stream_holds_nobody_up(open_sink: Opens) -> None:
    """What fits is kept, the rest is counted, and said when something gets through again."""
    held = Held()
    sink = open_sink(held, most_bytes=20)
    sink.put("first")
    assert held.reached.wait(WAIT_S)
    for number in range(10):
        sink.put(f"line {number}")
    held.go.set()
    sink.close()
    assert held.taken.decode() == "first\nlost 8\nline 0\nline 1\n"


def test_a_stuck_stream_keeps_no_process_alive(open_sink: Opens) -> None:
    """Closing gives up after a while."""
    held = Held()
    sink = open_sink(held)
    sink.put("first")
    assert held.reached.wait(WAIT_S)
    sink.close(wait_s=0.0)
    sink.put("too late")
    held.go.set()
    sink.close()
    assert held.taken == b"first\n"


def test_a_full_disk_loses_lines_and_nothing_else(open_sink: Opens) -> None:
    """When there is room again, the log says how many."""
    moody = Moody(full, full, full)
    sink = open_sink(moody)
    for expected in range(2):  # the second write tries to tell the loss as well, in vain
        sink.put(f"lost line {expected}")
        assert moody.written.acquire(timeout=WAIT_S)
    assert moody.written.acquire(timeout=WAIT_S)
    sink.put("found")
    sink.close()
    assert moody.taken == b"lost 2\nfound\n"


def test_a_line_that_was_cut_short_does_not_swallow_the_next(open_sink: Opens) -> None:
    """It is ended before anything else is written."""
    moody = Moody(lambda _: 3, full)
    sink = open_sink(moody)
    sink.put("abcdef")
    for _ in range(2):
        assert moody.written.acquire(timeout=WAIT_S)
    sink.put("next")
    sink.close()
    assert moody.taken == b"abc\nlost 1\nnext\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_device_that_is_full(open_sink: Opens) -> None:
    """The kernel's own ENOSPC."""
    with FileIO("/dev/full", "w") as device:
        sink = open_sink(device)
        sink.put("gone")
        sink.close()


def test_a_pipe_that_nobody_reads_any_more(open_sink: Opens) -> None:
    """A broken pipe costs the line, not the process."""
    reader, writer = os.pipe()
    os.close(reader)
    with FileIO(writer, "w") as pipe:
        sink = open_sink(pipe)
        sink.put("gone")
        sink.close()
        sink.put("gone too")


def test_a_stream_that_somebody_closed(open_sink: Opens) -> None:
    """As at the end of a process."""
    memory = Memory()
    memory.close()

    class Closed(Memory):
        def write(self, data: Any) -> int:
            raise ValueError("I/O operation on closed file")

    sink = open_sink(Closed())
    sink.put("gone")
    sink.close()


def test_a_pipe_that_does_not_block_is_waited_for(open_sink: Opens) -> None:
    """A terminal shared with a program that made it non-blocking loses nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    line = "x" * 999
    with FileIO(writer, "w") as pipe, FileIO(reader, "r") as other_end:
        sink = open_sink(pipe, most_bytes=1_000_000)
        for _ in range(500):
            sink.put(line)
        received = b""
        while len(received) < 500_000:
            received += other_end.read(65_536)
        sink.close()
    assert received == (line + "\n").encode() * 500


def test_a_finaliser_that_logs_in_the_midst_of_a_line_is_heard(open_sink: Opens) -> None:
    """Garbage is collected at any allocation, so `put` may find itself inside `put`."""
    memory = Memory()
    sink = open_sink(memory)
    with sink._changed:
        sink.put("inner")
    sink.close()
    assert memory.taken == b"inner\n"
