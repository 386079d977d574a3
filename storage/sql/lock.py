"""A lock file tells a living process from a dead one: the kernel lets go of it with the process."""

import fcntl
import os
from pathlib import Path

from storage.errors import Busy, Unavailable


class LockFile:
    """Held from `acquire` to `release`; the file stays, its content is the holder's process id."""

    def __init__(self, path: Path, what: str, remedy: str = "") -> None:
        self._path = path
        self._what = what
        self._remedy = remedy
        self._file: int | None = None

    def acquire(self) -> None:
        """Takes the lock, or fails at once with `Busy` naming the holder."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._useless("opened", error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        except BlockingIOError:
            pid = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            raise Busy(self._what, f"process {pid}" if pid else None, self._remedy) from None
        except OSError as error:  # a full disk, or a network's file system without locks
            os.close(file)
            raise self._useless("locked", error) from None
        self._file = file

    def _useless(self, wanted: str, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self._path} cannot be {wanted}: {error.strerror or type(error).__name__}"
        )

    def release(self) -> None:
        if self._file is not None:
            # Not removed: a process that opened it just now would hold a lock on a file of no name.
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None
