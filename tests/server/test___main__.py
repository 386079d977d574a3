"""Ctrl-C before a verb has a handler of its own ends it, whenever it comes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.parley import environment

# As `python -m server`, with a Ctrl-C once a module is looked for. It comes in the callback of a
# weak reference, as the import system has them: a KeyboardInterrupt there is dropped, and then the
# program goes on.
INTERRUPTED = """
import os, runpy, signal, sys, weakref

moment = sys.argv.pop(1)

def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass

class Finder:
    def find_spec(name, path, target=None):
        if name == moment:
            interrupt.watched = weakref.ref(Finder(), interrupt)

sys.meta_path.insert(0, Finder)
runpy.run_module("server", run_name="__main__", alter_sys=True)
"""
MOMENTS = ["server.cli", "server.config", "server.cli.serve", "storage.sql.sqlite"]


def interrupted(moment: str, folder: Path, *, ignored: bool = False) -> tuple[int, str]:
    """The status of a start with an interruption at that moment, and all that it said."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, moment, "serve"],
        cwd=folder,
        env={**environment(), "PARLEY_PORT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=_ignore if ignored else None,
    )
    return ended.returncode, ended.stdout


def _ignore() -> None:
    """As a shell does for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_before_the_server_serves_ends_it_without_a_word(
    moment: str, tmp_path: Path
) -> None:
    """While its modules are loaded as while its database is opened."""
    assert interrupted(moment, tmp_path) == (128 + signal.SIGINT, "")


def test_a_ctrl_c_that_the_caller_ignores_is_ignored(tmp_path: Path) -> None:
    """It goes on to the end, which is that it lacks its tables."""
    status, said = interrupted("server.cli", tmp_path, ignored=True)
    assert status == 1
    assert "Run `parley migrate`" in said
