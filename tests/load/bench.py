"""`scripts/bench`: the floor and Parley in one run, and a table of what came out.

It says what is so and asserts nothing: a figure is for a person to compare, on a machine at rest.
"""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from tests.load import measures
from tests.load.measures import Figure, median
from tests.load.subjects import (
    GENERATOR_CORES,
    SERVER_CORE,
    FloorServer,
    Parley,
    Subject,
    raise_descriptors,
)
from tests.load.table import number, table
from tests.support.databases import database_factory
from tests.support.programs import ProgramMissing
from tests.support.services import Postgres

ONE_PER_FRAME = {"PARLEY_STREAMS_GATHER_MS": "0"}
SATURATED = 0.95  # of a core, from which on the generator may be what was measured
SOCKETS = 100

T = TypeVar("T")
Fresh: TypeAlias = Callable[[], dict[str, str]]


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


class Bench:
    """The measures, each of which adds its rows."""

    def __init__(self, runs: int, seconds: float, sockets: int) -> None:
        self.rows: list[Row] = []
        self._runs = runs
        self._seconds = seconds
        self._sockets = sockets

    def throughput(self) -> None:
        """1 and 2, and the floor beside them in every run."""
        for tokens in (200, 2000):
            of = f"answers of {tokens:,}"
            floor = self._row("", f"floor, a raw write per token, {of}", "tokens/CPU-s")
            turns = self._row(
                "", f"floor, each in a turn of the loop, {of}", "tokens/CPU-s", "", floor
            )
            gathered = self._row("1", f"tokens, {of}", "tokens/CPU-s", "≥ 1.2 × floor", floor)
            single = self._row("2", f"a frame per token, {of}", "tokens/CPU-s", "≥ 80,000", floor)
            for _ in range(self._runs):
                for row, subject in (
                    (floor, FloorServer(tokens)),
                    (turns, FloorServer(tokens, turns=True)),
                    (gathered, Parley()),
                    (single, Parley(ONE_PER_FRAME)),
                ):
                    row.add(
                        _run(
                            measures.throughput,
                            subject,
                            tokens=tokens,
                            sockets=SOCKETS,
                            window_s=self._seconds,
                        )
                    )

    def way(self) -> None:
        """5."""
        p50 = self._row("5", "a token's way, p50", "ms")
        p99 = self._row("5", "a token's way, p99", "ms", "≤ 10")
        for _ in range(self._runs):
            seconds = max(4.0, self._seconds)
            figures = _run(measures.delay, Parley(), answers=200, per_second=50, seconds=seconds)
            for row, figure in zip((p50, p99), figures, strict=True):
                row.add(figure)

    def memory(self) -> None:
        """7, once: it hardly differs."""
        row = self._row("7", "memory of an idle attached socket", "KiB", "≤ 32, now ≤ 48")
        sockets = min(self._sockets, raise_descriptors() - 500)
        subject = Parley()
        made = asyncio.run(measures.prepare_conversations(subject.folder, "u", sockets + 200))
        row.add(_run(measures.memory, subject, user="u", conversations=made))

    def greetings(self) -> None:
        """8."""
        row = self._row("8", "connect + hello + welcome", "/CPU-s", "≥ 1,500")
        for _ in range(self._runs):
            row.add(_run(measures.greetings, Parley(), window_s=self._seconds))

    def acknowledged(self) -> None:
        """9, on SQLite, and on PostgreSQL where there is one."""
        with databases() as found:
            for name, fresh in found:
                p50 = self._row("9", f"chat → ack at 100/s, {name}, p50", "ms")
                p99 = self._row("9", f"chat → ack at 100/s, {name}, p99", "ms", "≤ 8")
                for _ in range(self._runs):
                    seconds = max(5.0, self._seconds)
                    figures = _run(
                        measures.acknowledged, Parley(fresh()), per_second=100, seconds=seconds
                    )
                    for row, figure in zip((p50, p99), figures, strict=True):
                        row.add(figure)

    def overhead(self) -> None:
        """14, once: bytes differ only by how much was gathered."""
        for env, how in (({}, "gathered"), (ONE_PER_FRAME, "a frame per token")):
            rows = (
                self._row("14", f"beyond the text, JSON, {how}", "B/chunk", "≤ 90"),
                self._row("14", f"beyond the text, MessagePack, {how}", "B/chunk", "≤ 70"),
                self._row("14", f"all bytes for ten times the tokens, {how}", "×", "≤ 10"),
            )
            for row, figure in zip(rows, _run(measures.overhead, Parley(env)), strict=True):
                row.add(figure)

    def _row(
        self, measure: str, name: str, unit: str, goal: str = "", floor: Row | None = None
    ) -> Row:
        row = Row(measure, name, unit, goal, floor)
        self.rows.append(row)
        return row


MEASURES: dict[str, Callable[[Bench], None]] = {
    "1": Bench.throughput,
    "2": Bench.throughput,
    "5": Bench.way,
    "7": Bench.memory,
    "8": Bench.greetings,
    "9": Bench.acknowledged,
    "14": Bench.overhead,
}


@contextmanager
def databases() -> Iterator[list[tuple[str, Fresh]]]:
    """The databases there are, each with what makes a new one for a server."""
    found: list[tuple[str, Fresh]] = [("SQLite", dict)]
    lent = os.environ.get("TEST_DATABASE_URL")
    if lent is not None:
        with database_factory(lent, lent=True) as fresh:
            yield [*found, ("PostgreSQL", lambda: {"DATABASE_URL": fresh()})]
        return
    try:
        server = Postgres().__enter__()
    except ProgramMissing as missing:
        say(f"  9  PostgreSQL is left out: {missing}")
        yield found
        return
    try:
        with database_factory(server.url(), lent=False) as fresh:
            yield [*found, ("PostgreSQL", lambda: {"DATABASE_URL": fresh()})]
    finally:
        server.close()


def _run(measure: Callable[..., Coroutine[Any, Any, T]], subject: Subject, **how: Any) -> T:
    """The measure's result, with the subject alive as long as it takes."""
    with subject:
        return asyncio.run(measure(subject, **how))


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


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured in each run")
    parser.add_argument("--sockets", type=int, default=10_000, help="of measure 7")
    parser.add_argument(
        "--only", default=",".join(MEASURES), help=f"of {','.join(MEASURES)} (default all)"
    )
    options = parser.parse_args(arguments)
    wanted = options.only.split(",")
    if set(wanted) - set(MEASURES):
        parser.error(f"--only takes of {','.join(MEASURES)}")
    os.sched_setaffinity(0, GENERATOR_CORES)
    raise_descriptors()
    if SERVER_CORE == GENERATOR_CORES:
        say("WARNING: there is one core for server and generator, so every figure is too low.")
    say(f"Python {platform.python_version()}, server on core {min(SERVER_CORE)}")
    say(f"load average before: {os.getloadavg()[0]:.2f} (at rest it is near 0)")
    bench = Bench(options.runs, options.seconds, options.sockets)
    for measure in dict.fromkeys(MEASURES[name] for name in wanted):
        measure(bench)
    say("\n" + report(bench.rows))


if __name__ == "__main__":
    main(sys.argv[1:])
