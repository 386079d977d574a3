"""The log as a process sets it up."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.telemetry.logs import get_logger
from storage.errors import Unavailable
from tests.support.logs import logging_to_memory

ROOT = Path(__file__).parents[3]
CANARY = "my dog is called Wotan"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"

early = get_logger()  # as modules take theirs, before anything is configured


def test_a_line_is_one_json_object() -> None:
    """With the time, the level and the instance."""
    with logging_to_memory(instance="i1") as log:
        early.info("it happened", count=3)
        [line] = log.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "it happened", "level": "info", "count": 3, "instance": "i1"}


def test_a_person_at_a_terminal_gets_columns() -> None:
    """Through the same scrubbing."""
    with logging_to_memory(console=True) as log:
        early.warning("it happened", count=3, content=CANARY, exc_info=Unavailable("closed"))
        text = log.text()
    assert "it happened" in text
    assert "Unavailable: the store is unavailable (closed)" in text
    assert CANARY not in text


def test_a_level_keeps_what_is_below_it_out() -> None:
    """And the name of a level may be written in either case."""
    with logging_to_memory("WARNING") as log:
        early.info("unheard")
        early.error("heard")
        assert [line["event"] for line in log.lines()] == ["heard"]


@pytest.mark.parametrize("console", [True, False])
def test_nothing_private_comes_through(console: bool) -> None:
    """By whatever way it came into a line."""
    with logging_to_memory("debug", console=console) as log:
        try:
            raise ValueError(CANARY) from KeyError(JWT)
        except ValueError as error:
            early.exception("failed", token=JWT, content=CANARY)
            early.error("failed", exc_info=error)
            early.error("failed", exc_info=True)
            early.info("failed with", failure=error, all=[JWT], of={"text": CANARY})
        early.info(f"GET /ws?{CANARY.replace(' ', '+')}")
        early.info("Bearer " + JWT)
        text = log.text()
    assert text.count("ValueError") == 4
    for secret in (CANARY, JWT, CANARY.replace(" ", "+"), "Wotan"):
        assert secret not in text


def test_exc_info_outside_an_exception_is_nothing() -> None:
    """A line is never lost for it."""
    with logging_to_memory() as log:
        early.info("fine", exc_info=True)
        early.info("fine", exc_info=None)
        assert ["exception" in line for line in log.lines()] == [False, False]


def test_lost_lines_are_told() -> None:
    """As a line like any other."""
    with logging_to_memory() as log:
        sink = log._sink
        with sink._changed:
            sink._lost = 7
        early.info("next")
        [lost, _] = log.lines()
    assert (lost["event"], lost["count"], lost["level"]) == ("log lines lost", 7, "warning")


def test_a_process_that_exits_writes_what_waits_to_stderr() -> None:
    """Nobody has to close the log of an orderly process."""
    program = (
        "from server.telemetry import logs\n"
        "logs.configure('info', console=False)\n"
        "logs.get_logger().info('the last word')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert '"event":"the last word"' in ran.stderr
    assert ran.stdout == ""
