"""What libraries and the runtime say, in our log."""

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Iterator

import pytest

from server.telemetry.foreign import own_words, prose, route_loop
from server.telemetry.logs import get_logger
from tests.support.logs import Log, logging_to_memory

CANARY = "my dog is called Wotan"


@pytest.fixture
def log() -> Iterator[Log]:
    with logging_to_memory("debug") as log:
        yield log


def record(message: object, *values: object) -> logging.LogRecord:
    return logging.LogRecord("lib", logging.WARNING, "lib.py", 7, message, values, None)


@pytest.mark.parametrize(
    ("message", "values", "own"),
    [
        ('%s - "WebSocket %s" %d', ("1.2.3.4:5", "/ws?token=x", 403), '<…> - "WebSocket <…>" 403'),
        ("took %.1f ms for %r", (2.55, CANARY), "took 2.5 ms for '<…>'"),
        ("query %(query)s of %(n)d", ({"query": CANARY, "n": 3},), "query <…> of 3"),
        ("Application startup complete.", (), "Application startup complete"),
        (f"Exception in callback fn('{CANARY}')", (), "Exception in callback fn"),
        (f"Executing <Task exception={CANARY}> took", (), "Executing"),
        (f"{{{CANARY}}}", (), "(no words)"),
        ("%d", (CANARY,), "(no words)"),
        ("too %s many %s", (1,), "too"),
        (ValueError(CANARY), (), "ValueError"),
    ],
)
def test_of_a_librarys_words_only_its_own_are_kept(
    message: object, values: tuple[object, ...], own: str
) -> None:
    """And numbers."""
    assert own_words(record(message, *values)) == own


def test_a_sentence_is_cut_at_the_first_sign_of_a_value() -> None:
    """And where it grows long."""
    assert prose("Unclosed connection: x") == "Unclosed connection"
    assert len(prose("a" * 500)) == 80


@pytest.mark.parametrize("name", ["databases", "aiosqlite", "uvicorn.error", "websockets.server"])
def test_libraries_are_heard_from_warnings_on(log: Log, name: str) -> None:
    """Whatever level they are set to: below it they print arguments and targets."""
    library = logging.getLogger(name)
    level = library.level
    library.setLevel(logging.DEBUG)
    try:
        library.debug("Query: %s Args: %s", CANARY, CANARY)
        library.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:5", f"/ws?ticket={CANARY}")
        library.warning("Odd: %s", CANARY)
    finally:
        library.setLevel(level)
    [line] = log.lines()
    assert (line["event"], line["level"], line["logger"]) == ("Odd: <…>", "warning", name)
    assert line["at"].startswith("test_foreign:")
    assert CANARY not in str(line)


def test_an_exception_of_a_library_comes_without_its_words(log: Log) -> None:
    """As uvicorn logs what an application raised."""
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
    [line] = log.lines()
    assert line["event"] == "Exception in ASGI application"
    assert line["exception"].startswith("ValueError\n  at tests/server/telemetry/test_foreign.py:")
    assert CANARY not in str(line)


async def test_a_forgotten_task_is_told_by_its_name(log: Log) -> None:
    """asyncio by itself prints the repr of what it failed with."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    route_loop(loop, get_logger())
    try:
        ended = asyncio.Event()

        async def fail() -> None:
            ended.set()
            raise ValueError(CANARY)

        def callback(text: str) -> None:
            raise KeyError(text)

        task = asyncio.create_task(fail(), name="answer msg_1")
        loop.call_soon(callback, CANARY)
        await ended.wait()
        with contextlib.suppress(ValueError):
            await asyncio.wait({task})
        del task
        gc.collect()
    finally:
        loop.set_exception_handler(before)
    lines = {line["problem"]: line for line in log.lines()}
    forgotten = lines["Task exception was never retrieved"]
    assert forgotten["task"] == "answer msg_1"
    assert forgotten["exception"].startswith("ValueError\n")
    assert "Exception in callback test" in lines
    assert CANARY not in str(lines)


def test_a_finaliser_and_a_thread_are_told_without_their_words(log: Log) -> None:
    """The interpreter by itself prints both."""

    class Last:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    def fail() -> None:
        raise KeyError(CANARY)

    Last()
    gc.collect()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    events = {line["event"] for line in log.lines()}
    assert events == {"an exception in a finaliser", "an exception ended a thread"}
    assert CANARY not in log.text()
