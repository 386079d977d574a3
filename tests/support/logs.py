"""The log of a test: what would be written, caught in memory, and undone after it."""

import atexit
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import Any

import msgspec
import structlog

from server.telemetry import logs
from server.telemetry.sink import Sink


class Memory(RawIOBase):
    """A stream that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = bytearray()

    def write(self, data: Any) -> int:
        """Take it."""
        self.taken += data
        return len(data)


class Log:
    """What was logged; reading ends the log, so read it last."""

    def __init__(self, sink: Sink, memory: Memory) -> None:
        self._sink = sink
        self._memory = memory

    def text(self) -> str:
        """All of it."""
        self._sink.close()
        return self._memory.taken.decode()

    def lines(self) -> list[dict[str, Any]]:
        """Line by line."""
        return [msgspec.json.decode(line) for line in self.text().splitlines()]


@contextmanager
def logging_to_memory(
    level: str = "info", *, console: bool = False, instance: str | None = None
) -> Iterator[Log]:
    """Configure the log as a process does, and undo it."""
    root, hooks = logging.getLogger(), (sys.unraisablehook, threading.excepthook)
    before = root.handlers[:], root.level, logging.raiseExceptions
    memory = Memory()
    sink = logs.configure(level, console=console, stream=memory, instance=instance)
    try:
        yield Log(sink, memory)
    finally:
        sink.close()
        atexit.unregister(sink.close)
        structlog.reset_defaults()
        root.handlers[:], root.level, logging.raiseExceptions = before
        sys.unraisablehook, threading.excepthook = hooks
