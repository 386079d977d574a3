"""How many faults were injected, by the rows of the matrix; a zero is worth no more than its n."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

PROPERTY = "faults"
_counted: list[tuple[int, int]] = []  # by the test that runs: faults, and what was found


def count(faults: int, found: int = 0) -> None:
    """What the test that runs has injected, and how many promises it found broken."""
    _counted.append((faults, found))


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Has a report tell what its test counted; who counts nothing has injected one fault."""
    counted, row = [*_counted], item.get_closest_marker("row")
    _counted.clear()
    if row is not None and not hasattr(report, "wasxfail"):
        faults = sum(faults for faults, _ in counted) or int(report.passed)
        found = sum(found for _, found in counted)
        report.user_properties.append((PROPERTY, (row.args[0], faults, found)))


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The sum of each row, and of all."""
    faults, found = Counter[int](), Counter[int]()
    for report in reports:
        for row, injected, broken in _of(report):
            faults[row] += injected
            found[row] += broken
    for row in sorted(faults):
        yield _line(f"row {row}", faults[row], found[row])
    if faults:
        yield _line("in all", faults.total(), found.total())


def _of(report: pytest.TestReport) -> list[Any]:
    return [value for name, value in report.user_properties if name == PROPERTY]


def _line(what: str, faults: int, found: int) -> str:
    bound = f"3/n {3 / faults:.4f}" if faults else "no n"
    return f"{what}: n {faults}, {bound}, {found} found"
