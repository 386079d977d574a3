"""An acknowledged commit has reached the disk: the system calls are counted, not believed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from storage.sql import open_database
from tests.conftest import LONG
from tests.storage.sql.units import TABLE, insert
from tests.support.programs import find
from tests.support.services import Postgres

ROOT = Path(__file__).parents[3]
COMMITS = 1000 if LONG else 100
COMMIT = """
import asyncio, sys
from functools import partial
from storage.errors import StorageError
from storage.sql import open_database
from tests.storage.sql.units import TABLE, insert

async def main():
    db = await open_database(sys.argv[1])
    await db.write(lambda c: c.script(TABLE))
    for number in range(int(sys.argv[2])):
        try:
            await db.write(partial(insert, key=str(number)))
        except StorageError as error:
            print(number, type(error).__name__, getattr(error, "outcome_unknown", None))
        else:
            print(number, "committed", flush=True)
    await db.close()

asyncio.run(main())
"""


def run_traced(folder: Path, commits: int, *options: str) -> tuple[list[str], str]:
    """Lets a child commit to a new SQLite file; its lines and what strace wrote."""
    trace = folder / "trace"
    command = [str(find("strace")), "-f", "-o", str(trace), *options, sys.executable, "-c", COMMIT]
    arguments = [f"sqlite:///{folder}/test.db", str(commits)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode().splitlines(), trace.read_text()


def syncs_in(summary: str) -> int:
    """The number of calls in the table of `strace -c`, whose fourth column it is."""
    rows = [line.split() for line in summary.splitlines()]
    return next((int(row[3]) for row in rows if row[-1:] == ["fdatasync"]), 0)


@contextmanager
def counting_syncs(pid: int, summary: Path) -> Iterator[None]:
    """Watches a process and all it starts meanwhile."""
    command = [str(find("strace")), "-f", "-c", "-e", "trace=fdatasync", "-o", str(summary)]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def test_sqlite_syncs_at_least_once_per_acknowledged_commit(tmp_path: Path) -> None:
    """With the WAL's usual `synchronous = NORMAL` it would be once per thousand pages."""
    lines, summary = run_traced(tmp_path, COMMITS, "-c", "-e", "trace=fdatasync")
    assert lines == [f"{number} committed" for number in range(COMMITS)]
    assert syncs_in(summary) >= COMMITS


def test_sqlite_acknowledges_nothing_that_it_could_not_sync(tmp_path: Path) -> None:
    """A disk that fails from the tenth sync on; the rest is unavailable with unknown outcome."""
    inject = "inject=fdatasync:error=EIO:when=10+"
    lines, _ = run_traced(tmp_path, 20, "-e", "trace=fdatasync", "-e", inject)
    committed = [line for line in lines if line.endswith("committed")]
    assert 0 < len(committed) < 20
    assert set(lines) - set(committed) == {
        f"{number} Unavailable True" for number in range(len(committed), 20)
    }


@pytest.mark.parametrize("durable", [True, False], ids=["messages", "telemetry"])
async def test_postgres_syncs_at_least_once_per_acknowledged_commit(
    tmp_path: Path, durable: bool
) -> None:
    """Counted over the processes of a server whose fsync is on; telemetry need not wait for it."""
    summary = tmp_path / "summary"
    with Postgres(durable=True) as server:
        with counting_syncs(server.pid, summary):
            db = await open_database(server.url())
            await db.write(lambda c: c.script(TABLE))
            for number in range(COMMITS):
                await db.write(partial(insert, key=str(number)), durable=durable)
            await db.close()
        assert (syncs_in(summary.read_text()) >= COMMITS) is durable
