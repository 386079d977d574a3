"""The lines of the bench's table, and what is said of them meanwhile."""

import sys
from collections.abc import Sequence

from msgspec import Struct

from tests.load.measures import Figure, median
from tests.load.table import number, table

SATURATED = 0.95  # of a core, from which on the generator may be what was measured


class Row(Struct):
    """A line of the table: one thing that is measured, over all runs."""

    measure: str
    name: str
    unit: str
    goal: str = ""
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

    def cells(self) -> list[str]:
        middle, least, most = median(self.figures)
        ratio = f"{middle / median(self.floor.figures)[0]:.2f}" if self.floor else ""
        last = self.figures[-1]
        return [
            self.measure,
            self.name,
            f"{number(middle)} {self.unit}",
            f"{number(least)}-{number(most)}" if len(self.figures) > 1 else "",
            ratio,
            self.goal,
            f"{last.server:.0%} / {last.generator:.0%}" if last.server else "",
            last.note,
        ]


def report(rows: Sequence[Row]) -> str:
    """The table, and a warning for each row whose figure may be the generator's."""
    head = ["#", "measure", "median", "range", "÷ floor", "goal", "CPU server / generator", "note"]
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
