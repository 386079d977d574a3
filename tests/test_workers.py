"""How workers share a machine."""

import fcntl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_S
from tests.support.workers import Floor, SideBySide

FILES = ["tests/a.py::one", "tests/a.py::T::two", "tests/b.py::three"]
FAULTS = ["tests/faults/f.py::four", "tests/faults/f.py::five[x]"]
ALONE = ["tests/b.py::six@alone", "tests/faults/f.py::seven@alone[x]"]


class Worker:
    """Takes what it is given."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.given: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        """More for it."""
        self.given += [(FAULTS + FILES + ALONE)[at] for at in indices]

    def shutdown(self) -> None:
        """No more for it."""
        self.shutting_down = True


def finish(scheduler: Any, worker: Worker, test: str) -> None:
    """It has run one."""
    scheduler.mark_test_complete(worker, (FAULTS + FILES + ALONE).index(test))


@pytest.fixture
def scheduled() -> tuple[Any, Worker, Worker]:
    """Two workers, and what they were given first."""
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(option=option, getvalue=lambda _: ["2*popen"])
    scheduler = SideBySide(config)
    workers = Worker("first"), Worker("second")
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, FAULTS + FILES + ALONE)
    scheduler.schedule()
    return scheduler, *workers


def test_one_begins_with_faults_and_the_other_with_files(
    scheduled: tuple[Any, Worker, Worker],
) -> None:
    """A file goes to one worker as a whole."""
    _, first, second = scheduled
    assert (first.given, second.given) == (FAULTS, FILES)


def test_who_is_alone_comes_last_and_to_one_worker(
    scheduled: tuple[Any, Worker, Worker],
) -> None:
    """All of them, whatever their files are."""
    scheduler, first, second = scheduled
    finish(scheduler, second, FILES[0])
    assert second.given == FILES + ALONE
    assert first.shutting_down is False
    finish(scheduler, first, FAULTS[0])
    assert first.given == FAULTS
    assert first.shutting_down


class Stay:
    """One of several on a floor, until it is told to leave."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path, *, alone: bool) -> None:
        self.entered, self._leave = Event(), Event()
        self._floor = Floor(folder / "gate", folder / "floor")
        self._over = pool.submit(self._stay, alone)

    def _stay(self, alone: bool) -> None:
        with self._floor.taken(alone=alone):
            self.entered.set()
            self._leave.wait()
        self._floor.close()

    def leave(self) -> None:
        """It has left afterwards."""
        self._leave.set()
        self._over.result()


def until_locked(path: Path) -> None:
    """Until somebody has locked a file."""
    with path.open() as file, suppress(BlockingIOError):
        while True:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)


def test_who_is_to_be_alone_waits_for_all_and_then_all_wait_for_it(tmp_path: Path) -> None:
    """Nobody slips in meanwhile, so it has its turn."""
    (tmp_path / "gate").touch()
    (tmp_path / "floor").touch()
    with ThreadPoolExecutor() as pool:
        many = [Stay(pool, tmp_path, alone=False) for _ in range(2)]
        for each in many:
            assert each.entered.wait(PATIENCE_S)
        alone = Stay(pool, tmp_path, alone=True)
        until_locked(tmp_path / "gate")
        late = Stay(pool, tmp_path, alone=False)
        many[0].leave()
        assert not alone.entered.is_set()
        many[1].leave()
        assert alone.entered.wait(PATIENCE_S)
        assert not late.entered.is_set()
        alone.leave()
        assert late.entered.wait(PATIENCE_S)
        late.leave()
