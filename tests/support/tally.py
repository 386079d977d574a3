"""How many faults were injected, by the rows of the matrix; a zero is worth no more than its n."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from msgspec import Struct, convert, to_builtins

PROPERTY = "faults"


class Counted(Struct, frozen=True):
    """What a test injected, how many promises it found broken, and what else it has to say."""

    faults: int
    found: int = 0
    said: str = ""


class OfRow(Counted, frozen=True, kw_only=True):
    """The same, with the row of the test; it travels with the test's report."""

    row: int


_counted: list[Counted] = []  # by the test that runs


def count(faults: int, found: int = 0, said: str = "") -> None:
    """For the test that runs."""
    _counted.append(Counted(faults, found, said))


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Has a report tell what its test counted; who counts nothing has injected one fault."""
    counted, row = [*_counted], item.get_closest_marker("row")
    _counted.clear()
    if row is None or hasattr(report, "wasxfail"):
        return
    for each in counted or [Counted(int(report.passed))]:
        of_row = OfRow(each.faults, each.found, each.said, row=row.args[0])
        report.user_properties.append((PROPERTY, to_builtins(of_row)))


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """What tests had to say, then the sum of each row, and of all."""
    counted = [each for report in reports for each in _of(report)]
    faults, found = Counter[int](), Counter[int]()
    for each in sorted(counted, key=lambda each: (each.row, each.said)):
        faults[each.row] += each.faults
        found[each.row] += each.found
        if each.said:
            yield f"row {each.row}, {each.said}: n {each.faults}, {each.found} found"
    for row in faults:
        yield _sum(f"row {row}", faults[row], found[row])
    if faults:
        yield _sum("in all", faults.total(), found.total())


def _of(report: Any) -> list[OfRow]:
    return [convert(value, OfRow) for name, value in report.user_properties if name == PROPERTY]


def _sum(what: str, faults: int, found: int) -> str:
    bound = f", 3/n {3 / faults:.4f}" if faults else ""
    return f"{what}: n {faults}{bound}, {found} found"
