"""Where lines of the log go: into a bounded store at once, and out by a thread of its own.

Whoever logs never waits and never fails, however slow, full or gone the other end is. What cannot
be kept is counted, and the first line that gets through again says how many were lost.
"""

import select
import threading
from collections.abc import Callable
from io import RawIOBase

MOST_BYTES = 4 * 1024 * 1024  # that wait to be written; some ten thousand lines
WRITABLE_S = 1.0  # how long a non-blocking stream may refuse before its lines are given up


class Sink:
    """Writes lines to an unbuffered stream; also the innermost of structlog's loggers."""

    def __init__(
        self,
        stream: RawIOBase,
        *,
        lost_line: Callable[[int], str],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._stream = stream
        self._lost_line = lost_line
        self._most_bytes = most_bytes
        # A condition's lock is re-entrant: a finaliser that logs may run in the midst of `put`.
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._bytes = 0  # waiting, or on their way out
        self._lost = 0
        self._closing = False
        self._mend = b""  # ends a line that was cut short
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take a line; it is written soon, or counted as lost."""
        data = line.encode("utf-8", "replace") + b"\n"
        with self._changed:
            if self._closing or self._bytes + len(data) > self._most_bytes:
                self._lost += 1
                return
            self._lines.append(data)
            self._bytes += len(data)
            self._changed.notify()

    debug = info = warning = error = critical = put  # as structlog calls it, by the line's level

    def close(self, wait_s: float = 2.0) -> None:
        """Write what waits, but wait no longer than that: a log must not keep a process alive."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                lines, self._lines = self._lines, []
                lost, self._lost = self._lost, 0
            if not lines:
                return
            if lost and not self._write([self._lost_line(lost).encode() + b"\n"]):
                lost = 0
            lost += self._write(lines)
            with self._changed:
                self._bytes -= sum(map(len, lines))
                self._lost += lost

    def _write(self, lines: list[bytes]) -> int:
        """Write them; the number of those that could not be."""
        data = memoryview(self._mend + b"".join(lines))
        sent = 0
        try:
            while sent < len(data):
                sent += self._stream.write(data[sent:]) or self._refused()
        except (OSError, ValueError):  # full, gone, or closed by someone else
            pass
        if sent:
            self._mend = b"" if data[sent - 1] == ord("\n") else b"\n"
        return min(len(lines), bytes(data[sent:]).count(b"\n"))

    def _refused(self) -> int:
        """Wait until a non-blocking stream takes something again."""
        if not select.select([], [self._stream], [], WRITABLE_S)[1]:
            raise BlockingIOError
        return 0
