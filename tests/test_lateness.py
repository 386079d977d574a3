"""Who misses a bound is run once more, by itself, and nobody else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNS = """
import pytest
from tests.support.lateness import within

runs = []

@pytest.fixture
def fresh():
    return []

def test_it(fresh):
    fresh.append(len(runs))
    assert fresh == [len(runs)]
    runs.append(1)
"""


def judged(folder: Path, verdict: str, runs: str = RUNS) -> tuple[int, str]:
    """What pytest says of a test that ends so."""
    (folder / "test_it.py").write_text(f"{runs}    {verdict}\n")
    # A worker's floor is its own test's: a run inside of that would wait for it for ever.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider",
         "--rootdir", folder, folder],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return told.returncode, told.stdout


def test_a_bound_that_was_missed_once_is_told_of(tmp_path: Path) -> None:
    """The second run decides, with fixtures of its own."""
    status, said = judged(tmp_path, "within(2.5, 2.0 * len(runs), 'a pong')")
    assert (status, "1 passed" in said) == (0, True), said
    assert "test_it.py::test_it: a pong: 2.5, and 2 is the most" in said


def test_a_bound_that_is_missed_twice_is_missed(tmp_path: Path) -> None:
    """It fails once."""
    status, said = judged(tmp_path, "within(9.0, 2.0 * len(runs), 'a pong')")
    assert (status, "1 failed" in said) == (1, True), said
    assert "9, and 4 is the most" in said


def test_what_else_was_wrong_with_the_first_run_is_not_forgotten(tmp_path: Path) -> None:
    """As where a fixture finds something lost behind a bound that was missed."""
    fixture = "@pytest.fixture\ndef fresh():\n    yield []\n    assert len(runs) > 1"
    runs = RUNS.replace("@pytest.fixture\ndef fresh():\n    return []", fixture)
    assert runs != RUNS
    status, said = judged(tmp_path, "within(2.5, 2.0 * len(runs), 'a pong')", runs)
    assert (status, "1 failed, 1 error" in said) == (1, True), said


@pytest.mark.parametrize("verdict", ["assert len(runs) > 1", "raise TimeoutError"])
def test_whatever_else_is_wrong_is_so_at_once(tmp_path: Path, verdict: str) -> None:
    """It would have been right the second time."""
    status, said = judged(tmp_path, verdict)
    assert (status, "1 failed" in said) == (1, True), said
    assert "once more" not in said
