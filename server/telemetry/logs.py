"""The log: set up once per process, before anything logs.

One canonical line per connection and per answer (`lines`), and what went wrong. JSON for machines,
columns for a person at a terminal; either way through the same scrubbing, and written by a thread.
"""

import atexit
import logging
import sys
from collections.abc import MutableMapping
from io import FileIO, RawIOBase
from typing import Any, cast

import msgspec
import structlog
from structlog.dev import ConsoleRenderer
from structlog.processors import TimeStamper, add_log_level
from structlog.typing import FilteringBoundLogger, Processor

from server.telemetry.failures import told
from server.telemetry.foreign import Forward, route_runtime
from server.telemetry.scrub import scrubbed
from server.telemetry.sink import Sink

STDERR = 2


def get_logger() -> FilteringBoundLogger:
    """A logger; may be taken while a module is imported, and follows what is configured later."""
    return cast(FilteringBoundLogger, structlog.get_logger())


def configure(
    level: str,
    *,
    console: bool,
    stream: RawIOBase | None = None,
    instance: str | None = None,
) -> Sink:
    """Log from `level` on, to an unbuffered stream or to stderr; `instance` stands in every line.

    Closing what it returns writes what still waits. An orderly exit closes it by itself; what ends
    a process by a signal closes it first.
    """
    render: Processor = ConsoleRenderer(pad_event_to=24) if console else _json
    stamp = TimeStamper(fmt="iso", utc=True, key="timestamp")

    def lost(count: int) -> str:
        notice = stamp(None, "warning", {"event": "log lines lost", "count": count})
        return str(render(None, "warning", {**notice, "level": "warning"}))

    sink = Sink(stream or FileIO(STDERR, "wb", closefd=False), lost_line=lost)
    always = {} if instance is None else {"instance": instance}
    structlog.configure(
        # A logger that cached its processors would outlive a second `configure`, as tests need it.
        cache_logger_on_first_use=False,
        processors=[add_log_level, lambda _, __, event: {**always, **event}, _safe, stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=lambda *_: sink,
    )
    _take_over_standard_library()
    route_runtime(get_logger())
    atexit.register(sink.close)
    return sink


def _take_over_standard_library() -> None:
    root = logging.getLogger()
    root.handlers[:] = [Forward(get_logger())]
    root.setLevel(logging.WARNING)
    # A record that cannot be formatted would be printed, arguments and all.
    logging.raiseExceptions = False


def _safe(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Scrub every field, and put an exception's type and places in its place."""
    failure = event.pop("exc_info", None)
    safe: dict[str, Any] = scrubbed(event)
    if isinstance(failure, tuple):
        failure = failure[1]
    elif failure is True:
        failure = sys.exc_info()[1]
    if isinstance(failure, BaseException):
        safe["exception"] = told(failure)
    return safe


def _json(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event).decode()
