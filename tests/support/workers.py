"""Tests side by side, on workers that are processes; a test that measures times has all for itself.

Without pytest-xdist nothing of this is used: one test comes after the other.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

ALONE = "alone"
FAULTS = "tests/faults/"
# Locked are two files that are there anyway, so that nothing is left behind.
GATE = Path(__file__)
FLOOR = Path(__file__).parent / "__init__.py"


def is_alone(item: pytest.Item) -> bool:
    """Whether nothing may run beside it."""
    return item.get_closest_marker(ALONE) is not None


def set_apart(items: list[pytest.Item]) -> None:
    """Who is alone comes last, and is named so: a scheduler knows nothing else of it."""
    items.sort(key=is_alone)
    for item in filter(is_alone, items):
        *outer, name = item._id.names
        item._id = replace(item._id, names=(*outer, f"{name}@{ALONE}"))


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """A file is one worker's, for what its tests share; a test of faults is anybody's.

    Those mostly wait, and the others mostly compute: half of the workers begin with these and half
    with those, so that neither wait for each other. The last to come are those who are alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.partition("[")[0].endswith(f"@{ALONE}"):
            return ALONE
        return nodeid if nodeid.startswith(FAULTS) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        computes = self.nodes.index(node) % 2 == 1
        for scope in self.workqueue:
            if scope != ALONE and scope.startswith(FAULTS) != computes:
                self.workqueue.move_to_end(scope, last=False)
                break
        super()._assign_work_unit(node)


class Floor:
    """Where many are at a time, or one."""

    def __init__(self, gate: Path = GATE, floor: Path = FLOOR) -> None:
        self._gate, self._floor = (os.open(path, os.O_RDONLY) for path in (gate, floor))

    def close(self) -> None:
        """Whoever is on it is no longer."""
        os.close(self._gate)
        os.close(self._floor)

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """Wait for a place; who waits to be alone lets nobody in."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._floor, fcntl.LOCK_UN)
