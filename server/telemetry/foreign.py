"""What libraries and the runtime say, brought into our log: their own words, never their values.

What a library puts into its words is not known here: uvicorn writes the whole request target,
`databases` the arguments of a query, asyncio the repr of what a task failed with.
"""

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

# Of a message that was put together already only its beginning is surely words.
_PROSE = re.compile(r"[A-Za-z ,-]{,80}")


class Forward(logging.Handler):
    """Hands on the warnings and errors of every logger of the standard library."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        # By the handler, not by the loggers' levels: libraries set those as they like.
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Say what it is, who says it and from where."""
        self._log.log(
            min(record.levelno // 10 * 10, logging.CRITICAL),
            own_words(record),
            logger=record.name,
            at=f"{record.module}:{record.lineno}",
            exc_info=record.exc_info,
        )


def own_words(record: logging.LogRecord) -> str:
    """The library's words, with those values filled in that are numbers."""
    template, values = record.msg, record.args
    if not isinstance(template, str):
        return type(template).__name__
    if not values:
        return prose(template)
    try:
        if isinstance(values, Mapping):
            return template % {name: _number(value) for name, value in values.items()}
        return template % tuple(_number(value) for value in values)
    except (TypeError, ValueError, KeyError):
        return prose(template)


def prose(message: str) -> str:
    """The beginning of a message, up to the first sign of a value."""
    match = _PROSE.match(message)
    return (match[0].strip() if match else "") or "(no words)"


def _number(value: object) -> object:
    return value if isinstance(value, int | float) else "<…>"


def route_runtime(log: FilteringBoundLogger) -> None:
    """Log what finalisers and threads fail with, instead of printing it with what it says."""

    def unraisable(failure: Any) -> None:
        log.error("an exception in a finaliser", exc_info=failure.exc_value)

    def in_thread(failure: Any) -> None:
        log.error("an exception ended a thread", exc_info=failure.exc_value)

    sys.unraisablehook = unraisable
    threading.excepthook = in_thread


def route_loop(loop: asyncio.AbstractEventLoop, log: FilteringBoundLogger) -> None:
    """Log what callbacks and forgotten tasks fail with, instead of asyncio's reprs of them."""

    def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        log.error(
            "an exception that nobody awaited",
            problem=prose(context["message"]),
            task=task.get_name() if isinstance(task, asyncio.Task) else None,
            exc_info=context.get("exception"),
        )

    loop.set_exception_handler(failed)
