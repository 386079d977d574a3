"""Places where a process is killed or held, each at the time that was asked for."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import failpoints

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from storage import failpoints

failpoints.arm(sys.argv[1])
for n in range(5):
    failpoints.reach("received")
    failpoints.reach("committed")
    print(n, flush=True)
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def run(spec: str) -> tuple[int, str]:
    """How a program ends that reaches two places five times, and what it had printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    return done.returncode, done.stdout.decode().replace("\n", "")


@pytest.mark.parametrize(
    ("spec", "printed"),
    [("committed:kill", ""), ("committed:kill:3", "01"), ("received:kill:5,acked:kill", "0123")],
)
def test_the_process_is_killed_at_that_time(spec: str, printed: str) -> None:
    """As by the kernel: nothing is closed, nothing is said."""
    assert run(spec) == (-signal.SIGKILL, printed)


def test_a_thread_is_held_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For so many seconds; then it goes on, and is not held again."""
    held: list[float] = []
    monkeypatch.setattr(time, "sleep", held.append)
    failpoints.arm("received:hold:5")
    for _ in range(3):
        failpoints.reach("received")
    assert held == [5]


def test_a_place_that_is_reached_too_seldom_does_nothing() -> None:
    """The sixth time never comes."""
    assert run("committed:kill:6") == (0, "01234")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "nowhere:kill",
        "committed",
        "committed:stop",
        "committed:kill:0",
        "ended:kill:x",
        "ended:hold",
        "ended:hold:0",
        "ended:stop:3",
    ],
)
def test_a_spec_that_means_nothing_is_refused_with_an_example(spec: str) -> None:
    """Else a test would wait for a death that never comes."""
    with pytest.raises(ValueError, match="for example committed:kill:3"):
        failpoints.arm(spec)


def test_an_unknown_place_is_an_error_where_any_is_armed() -> None:
    """Unarmed, nothing is looked up."""
    failpoints.reach("nowhere")
    failpoints.arm("ended:kill:9")
    with pytest.raises(ValueError, match="nowhere"):
        failpoints.reach("nowhere")


def test_every_place_that_the_code_reaches_is_in_the_list() -> None:
    """And with a literal name, so that it can be found."""
    reached = re.compile(r"failpoints\.reach\((.*?)\)")
    sources = [path for part in ("storage", "server") for path in (ROOT / part).rglob("*.py")]
    named = {name for path in sources for name in reached.findall(path.read_text())}
    assert named <= {f'"{place}"' for place in failpoints.PLACES}
