"""Bounds of time. A test that misses one is run once more, by itself, and the run says so.

What a test takes depends on what else its machine does: several workers share few processors, and a
host may take those away without a trace. What our code is too slow at, it is too slow at again. All
else that a test finds is judged once; so a bound is the last that a test looks at.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

PROPERTY = "too late at first"


class TooLate(AssertionError):
    """It took longer than it may."""


def within(took: float, most: float, what: str) -> None:
    """So much is the most, in seconds or whatever unit both are in."""
    if not took <= most:  # nor is what was not measured at all
        raise TooLate(f"{what}: {took:.3g}, and {most:.3g} is the most")


def note(call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Has a report tell of a bound that was missed."""
    if call.when == "call" and call.excinfo is not None and call.excinfo.errisinstance(TooLate):
        report.user_properties.append((PROPERTY, str(call.excinfo.value)))


def missed(reports: Iterable[Any]) -> list[tuple[str, object]]:
    """The bounds of which they tell."""
    return [each for report in reports for each in report.user_properties if each[0] == PROPERTY]


def lines(set_up: Iterable[Any]) -> Iterator[str]:
    """Who was run twice, and why: the reports of how it was set up the second time tell it."""
    for report in set_up:
        for _, why in missed([report]):
            yield f"{report.nodeid}: {why}"
