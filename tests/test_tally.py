"""Faults are summed up by row."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import tally


def report(row: int | None, *, passed: bool = True, **more: object) -> Any:
    """Of a test that is marked so and has just run."""
    mark = row and SimpleNamespace(args=(row,))
    found: Any = SimpleNamespace(user_properties=[], passed=passed, **more)
    item: Any = SimpleNamespace(get_closest_marker=lambda _: mark)
    tally.attach(item, found)
    return found


@pytest.fixture(autouse=True)
def _nothing_else() -> None:
    """What a test here counts is not its own."""
    tally.attach(SimpleNamespace(get_closest_marker=lambda _: None), SimpleNamespace())  # type: ignore[arg-type]


def test_rows_are_summed_up_over_their_tests() -> None:
    """A test that counts nothing injected one fault, if it came to its end."""
    tally.count(5)
    tally.count(10, 2, "slow readers")
    reports = [report(20, passed=False), report(4), report(4), report(20, passed=False)]
    assert list(tally.lines(reports)) == [
        "row 20, slow readers: n 10, 2 found",
        "row 4: n 2, 3/n 1.5000, 0 found",
        "row 20: n 15, 3/n 0.2000, 2 found",
        "in all: n 17, 3/n 0.1765, 2 found",
    ]


def test_what_has_no_row_or_is_known_to_fail_is_left_out() -> None:
    """And what it counted is not the next one's."""
    tally.count(5)
    reports = [report(None), report(3), report(7, wasxfail="known")]
    assert list(tally.lines(reports))[:-1] == ["row 3: n 1, 3/n 3.0000, 0 found"]
    assert list(tally.lines([])) == []
