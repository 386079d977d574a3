"""The lines of the bench's table, and what is said of them meanwhile."""

import math
import sys
from collections.abc import Sequence

from msgspec import Struct

from tests.load.measures import UNWELL, Figure, median
from tests.load.table import number, table

SATURATED = 0.95  # of a core, from which on the generator may be what was measured


class Goal(Struct, frozen=True):
    """What a figure is to be, or its ratio to the row that it is set against."""

    text: str = ""
    least: float = -math.inf
    most: float = math.inf
    as_ratio: bool = False

    def verdict(self, value: float, ratio: float) -> str:
        """Whether it was reached."""
        reached = self.least <= (ratio if self.as_ratio else value) <= self.most
        return ("reached" if reached else "MISSED") if self.text else ""


NONE = Goal()


def at_least(value: float) -> Goal:
    return Goal(f"≥ {value:,}", least=value)


def at_most(value: float) -> Goal:
    return Goal(f"≤ {value:,}", most=value)


def times_floor(least: float) -> Goal:
    return Goal(f"≥ {least} × floor", least=least, as_ratio=True)


def near(ratio: float, off: float) -> Goal:
    """As often the row that it is set against, or nearly so."""
    return Goal(f"× {ratio} ± {off}", ratio - off, ratio + off, as_ratio=True)


class Row(Struct):
    """A line of the table: one thing that is measured, over all runs."""

    measure: str
    name: str
    unit: str
    goal: Goal = NONE
    floor: "Row | None" = None  # what it is set against
    figures: list[Figure] = []

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        say(f"  {self.measure}  {self.name}: {number(figure.value)} {self.unit}  ({figure.note})")

    @property
    def saturated(self) -> bool:
        """Whether the generator had no time left in the middle run."""
        shares = sorted(figure.generator for figure in self.figures)
        return shares[len(shares) // 2] > SATURATED

    def verdict(self) -> str:
        """What the middle run says of the goal; a run with errors says nothing good."""
        if self.goal.text and any(UNWELL in figure.note for figure in self.figures):
            return UNWELL
        return self.goal.verdict(median(self.figures)[0], self._ratio())

    def _ratio(self) -> float:
        if self.floor is None or not self.floor.figures:
            return math.nan
        floor = median(self.floor.figures)[0]
        return median(self.figures)[0] / floor if floor else math.nan

    def cells(self) -> list[str]:
        middle, least, most = median(self.figures)
        ratio = f"{self._ratio():.2f}" if self.floor else ""
        last = self.figures[-1]
        return [
            self.measure,
            self.name,
            f"{number(middle)} {self.unit}",
            f"{number(least)}-{number(most)}" if len(self.figures) > 1 else "",
            ratio,
            self.goal.text,
            self.verdict(),
            f"{last.server:.0%} / {last.generator:.0%}" if last.server else "",
            last.note,
        ]


def report(rows: Sequence[Row]) -> str:
    """The table, and a warning for each row whose figure may be the generator's."""
    head = [
        "#",
        "measure",
        "median",
        "range",
        "÷ floor",
        "goal",
        "",
        "CPU server / generator",
        "note",
    ]
    lines = [table(head, [row.cells() for row in rows if row.figures])]
    lines += [
        f"WARNING: the generator was saturated in {row.name!r}, so the server could do more."
        for row in rows
        if row.figures and row.saturated
    ]
    return "\n".join(lines)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
