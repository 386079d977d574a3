"""A lock file has one living holder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import Busy, Unavailable
from storage.sql.lock import LockFile

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from storage.sql.lock import LockFile
lock = LockFile(Path(sys.argv[1]), "the folder")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told_who_has_it_and_what_to_do(tmp_path: Path) -> None:
    """Also within one process, where the kernel tells the two files apart."""
    first = LockFile(tmp_path / "lock", "the folder", "Stop it.")
    first.acquire()
    with pytest.raises(Busy) as caught:
        LockFile(tmp_path / "lock", "the folder", "Stop it.").acquire()
    assert caught.value.holder == f"process {os.getpid()}"
    assert str(caught.value) == f"the folder is held by process {os.getpid()}. Stop it."
    first.release()


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    """Releasing twice is releasing once."""
    lock = LockFile(tmp_path / "lock", "the folder")
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    """The file and its number stay behind, but the kernel has let go."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"):
            LockFile(path, "the folder").acquire()
        holder.send_signal(signal.SIGKILL)
    assert path.read_text() == str(holder.pid)
    lock = LockFile(path, "the folder")
    lock.acquire()
    assert path.read_text() == str(os.getpid())
    lock.release()


def test_a_file_system_without_locks_or_room_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the lock can be had once there is."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = LockFile(tmp_path / "lock", "the folder")
    for module, function in ((fcntl, "flock"), (os, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, refuse)
            with pytest.raises(Unavailable, match="No space"):
                lock.acquire()
    lock.acquire()
    lock.release()


def test_a_lock_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """The usual reason is a folder that does not exist."""
    with pytest.raises(Unavailable, match="No such file or directory"):
        LockFile(tmp_path / "nowhere" / "lock", "the folder").acquire()
