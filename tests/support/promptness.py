"""Bounds of time. Who missed one with others beside it is judged once more, by itself.

What a test takes depends on what else its machine does: several workers share few processors, and a
host may take those away without a trace. Whoever is too slow is so each time; so this is for bounds
only, and whatever else a test finds is judged once.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

PROPERTY = "too late at first"


class TooLate(AssertionError):
    """It took longer than it may."""


def prompt(took: float, most: float, what: str) -> None:
    """So much is the most, in seconds or whatever unit both are in."""
    if took > most:
        raise TooLate(f"{what}: {took:.3g}, and {most:.3g} is the most")


def note(call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Has a report tell of a bound that was missed."""
    if call.when == "call" and call.excinfo is not None and call.excinfo.errisinstance(TooLate):
        report.user_properties.append((PROPERTY, str(call.excinfo.value)))


def missed(reports: Iterable[Any]) -> list[tuple[str, object]]:
    """The bounds that they tell of."""
    return [each for report in reports for each in report.user_properties if each[0] == PROPERTY]


def lines(reports: Iterable[Any]) -> Iterator[str]:
    """Who was judged twice, and why."""
    for report in reports:
        for _, why in missed([report])[:1]:
            yield f"{report.nodeid}: {why}"
