"""`scripts/bench`: the floor and Parley in one run, and a table of what came out.

It says what is so and asserts nothing: a figure is for a person to compare, on a machine at rest.
"""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias, TypeVar

from tests.load import instances, measures, returning
from tests.load.peer import Refused
from tests.load.rows import NONE, Goal, Row, at_least, at_most, near, report, say, times_floor
from tests.load.shared import postgres, shared
from tests.load.subjects import (
    GENERATOR_CORES,
    SERVER_CORE,
    FloorServer,
    Parley,
    Subject,
    raise_descriptors,
)
from tests.support.programs import ProgramMissing

ONE_PER_FRAME = {"PARLEY_STREAMS_GATHER_MS": "0"}
ADMITTED = {"PARLEY_LIMITS_HANDSHAKES_PER_S": "1000"}  # as it is where nobody sets it
SOCKETS = 100
INSTANCES = 4
RUNS = 5
GIVEN_UP_S = 300.0
FEW = {"11": 3, "12": 3, "13": 2, "15": 2}  # runs of what takes minutes

T = TypeVar("T")
Fresh: TypeAlias = Callable[[], dict[str, str]]


class Bench:
    """The measures, each of which adds its rows."""

    def __init__(self, runs: int | None, seconds: float, sockets: int) -> None:
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
                "", f"floor, each in a turn of the loop, {of}", "tokens/CPU-s", NONE, floor
            )
            gathered = self._row("1", f"tokens, {of}", "tokens/CPU-s", times_floor(1.2), floor)
            single = self._row(
                "2", f"a frame per token, {of}", "tokens/CPU-s", at_least(80_000), floor
            )
            for _ in self._times():
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
        p99 = self._row("5", "a token's way, p99", "ms", at_most(10))
        for _ in self._times():
            seconds = max(4.0, self._seconds)
            figures = _run(measures.delay, Parley(), answers=200, per_second=50, seconds=seconds)
            for row, figure in zip((p50, p99), figures, strict=True):
                row.add(figure)

    def memory(self) -> None:
        """7, once: it hardly differs."""
        row = self._row(
            "7", "memory of an idle attached socket", "KiB", Goal("≤ 32, now ≤ 48", most=48)
        )
        sockets = min(self._sockets, raise_descriptors() - 500)
        subject = Parley()
        made = _conversations(subject.database, ["u"] * (sockets + 200))
        row.add(_run(measures.memory, subject, user="u", conversations=made))

    def greetings(self) -> None:
        """8."""
        row = self._row("8", "connect + hello + welcome", "/CPU-s", at_least(1500))
        for _ in self._times():
            row.add(_run(measures.greetings, Parley(), window_s=self._seconds))

    def acknowledged(self) -> None:
        """9, on SQLite, and on PostgreSQL where there is one."""
        with databases() as found:
            for name, fresh in found:
                p50 = self._row("9", f"chat → ack at 100/s, {name}, p50", "ms")
                p99 = self._row("9", f"chat → ack at 100/s, {name}, p99", "ms", at_most(8))
                for _ in self._times():
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
                self._row("14", f"beyond the text, JSON, {how}", "B/chunk", at_most(90)),
                self._row("14", f"beyond the text, MessagePack, {how}", "B/chunk", at_most(70)),
                self._row("14", f"all bytes for ten times the tokens, {how}", "×", at_most(10)),
            )
            for row, figure in zip(rows, _run(measures.overhead, Parley(env)), strict=True):
                row.add(figure)

    def resumes(self) -> None:
        """11, through the instance that made the answer and through another one."""
        tokens = 2000
        here = self._row("11", "resume of 2,000 tokens, same instance, p99", "ms", at_most(20))
        there = self._row("11", "resume of 2,000 tokens, another instance, p99", "ms", at_most(50))
        frames = self._row("11", "its data frames, at most", "", at_most(1))
        for _ in self._times("11"):
            with shared() as services:
                # Each token by itself in the log, as those of a slow model are.
                env = {**services.env(), **ONE_PER_FRAME}
                with Parley(env) as first, Parley(env) as second:
                    made = _in_time(returning.answered(first, "u", answers=200, tokens=tokens))
                    for row, subject in ((here, first), (there, second)):
                        p99, most = _in_time(returning.resumes(subject, made, tokens=tokens))
                        row.add(p99)
                        frames.add(most)

    def redis(self) -> None:
        """12, with the log in memory beside it."""
        sent = self._row("12", "commands sent to Redis at 10,000 tokens/s", "/token", at_most(0.2))
        p50 = self._row("12", "delay that the log on Redis adds, p50", "ms")
        p99 = self._row("12", "delay that the log on Redis adds, p99", "ms", at_most(5))
        seconds = max(4.0, self._seconds)
        load: dict[str, Any] = {"answers": 200, "per_second": 50, "seconds": seconds}
        for _ in self._times("12"):
            with shared() as services:
                pace = instances.Pace(**load)
                sent.add(
                    _run(instances.commands, Parley(services.env()), services=services, pace=pace)
                )
                env = services.env()
                least_ms = asyncio.run(instances.least_way(env["REDIS_URL"])) * 1000
                on_redis = _run(measures.delay, Parley(env), **load)
                in_memory = _run(measures.delay, Parley(_without_redis(services.env())), **load)
            for row, slow, quick in zip((p50, p99), on_redis, in_memory, strict=True):
                row.add(instances.added(slow, quick, least_ms))

    def shares(self) -> None:
        """13, one more instance at a time."""
        flat = near(1, 0.05)
        makes: list[Row] = []
        for n in range(INSTANCES):
            of = "a token's processor time where it is made, instances running:"
            first = makes[0] if makes else None
            makes.append(self._row("13", f"{of} {n + 1}", "µs", flat if first else NONE, first))
        relays: list[Row] = []
        for n in range(1, INSTANCES):
            first = relays[0] if relays else None
            of = "the same, with readers alone:"
            relays.append(self._row("13", f"{of} {n + 1}", "µs", flat if first else NONE, first))
        others = [
            self._row("13", f"the same, without readers: {n + 1}", "µs", near(0, 0.05), makes[0])
            for n in range(2, INSTANCES)
        ]
        pace = instances.Pace(40, 50, max(8.0, self._seconds))
        for _ in self._times("13"):
            with shared() as services, ExitStack() as stack:
                env = services.env()
                running: list[Subject] = []
                for n in range(INSTANCES):
                    running.append(stack.enter_context(Parley(env)))
                    figures = _in_time(instances.shares(running, pace))
                    # Each list of rows begins with as many instances as it takes to have a figure.
                    for rows, figure in zip((makes, relays, others), figures, strict=False):
                        rows[n - INSTANCES].add(figure)

    def returns(self) -> None:
        """15, with everything in the process and with PostgreSQL and Redis."""
        sockets = min(self._sockets, raise_descriptors() - 500)
        people = [f"u{number}" for number in range(sockets)]
        alone = self._row("15", "all sockets cut: 99 % level again, alone", "s", at_most(15))
        beside = self._row("15", "the same over PostgreSQL and Redis", "s", at_most(15))

        def cut(row: Row, subject: Parley) -> None:
            made = _conversations(subject.database, people)
            row.add(_run(returning.return_of_all, subject, users=people, conversations=made))

        for _ in self._times("15"):
            cut(alone, Parley(ADMITTED))
            with shared() as services:
                cut(beside, Parley({**services.env(), **ADMITTED}))

    def _times(self, measure: str = "") -> range:
        return range(self._runs or FEW.get(measure, RUNS))

    def _row(
        self, measure: str, name: str, unit: str, goal: Goal = NONE, floor: Row | None = None
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
    "11": Bench.resumes,
    "12": Bench.redis,
    "13": Bench.shares,
    "14": Bench.overhead,
    "15": Bench.returns,
}


@contextmanager
def databases() -> Iterator[list[tuple[str, Fresh]]]:
    """The databases there are, each with what makes a new one for a server."""
    found: list[tuple[str, Fresh]] = [("SQLite", dict)]
    with ExitStack() as stack:
        try:
            fresh = stack.enter_context(postgres())
        except ProgramMissing as missing:
            say(f"  PostgreSQL is left out: {missing}")
        else:
            found.append(("PostgreSQL", lambda: {"DATABASE_URL": fresh()}))
        yield found


def _conversations(database: str, users: Sequence[str]) -> list[str]:
    return asyncio.run(measures.prepare_conversations(database, users))


def _without_redis(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name != "REDIS_URL"}


def _run(measure: Callable[..., Coroutine[Any, Any, T]], subject: Subject, **how: Any) -> T:
    """The measure's result, with the subject alive as long as it takes."""
    with subject:
        return _in_time(measure(subject, **how))


def _in_time(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it; an answer that never ends must not keep the other measures waiting."""

    async def bounded() -> T:
        async with asyncio.timeout(GIVEN_UP_S):
            return await work

    return asyncio.run(bounded())


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    few = ", ".join(f"of {measure} {times}" for measure, times in FEW.items())
    parser.add_argument("--runs", type=int, help=f"of each (default {RUNS}; {few})")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured in each run")
    parser.add_argument("--sockets", type=int, default=10_000, help="of measures 7 and 15")
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
        try:
            measure(bench)
        except ProgramMissing as missing:
            say(f"  {measure.__name__} is left out: {missing}")
        except (Refused, OSError) as error:  # a TimeoutError is an OSError, too
            why = str(error) or f"not over in {GIVEN_UP_S:.0f} s"
            say(f"  {measure.__name__} IS GIVEN UP: {why}")
    say("\n" + report(bench.rows))


if __name__ == "__main__":
    main(sys.argv[1:])
