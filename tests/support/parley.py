"""Parley as people start it: a process of its own, in a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from server.cli.serving import Serving, recorded

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0  # 30 were too few once, on a machine that was busy with others
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01


class StartFailed(Exception):
    """The server ended, or did not serve in time; the text is what it said."""


class Parley:
    """A folder with its `.env`, and at most one server that runs from it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """The settings are those of `.env`; PARLEY_PORT is 0 unless they say otherwise."""
        self.folder = folder
        self.data = folder / "data"
        self.root = ROOT  # of the program that is started
        self._process: subprocess.Popen[bytes] | None = None
        self.set(**{"PARLEY_PORT": "0", **settings})

    def set(self, **settings: str) -> None:
        """Add settings, for what is started from now on; the last of a name counts."""
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}='{value}'\n" for name, value in settings.items())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "server", *arguments],
            cwd=self.folder,
            env=environment(self.root),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )

    @contextmanager
    def serving(self) -> Iterator[Serving]:
        """A server for the block."""
        try:
            yield self.start()
        finally:
            self.kill()

    def start(self, **variables: str) -> Serving:
        """Start a server, with these in its environment, and wait until it serves."""
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "server", "serve", "--migrate"],
                cwd=self.folder,
                env={**environment(self.root), **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = monotonic() + START_SECONDS
        while True:
            serving = recorded(self.data)
            if serving is not None and serving.pid == process.pid:
                return serving
            if self._ended(POLL_SECONDS) or monotonic() > deadline:
                self.kill()
                raise StartFailed(self.log.read_text())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the server to end; its exit status."""
        self.send(how)
        return self.ended()

    def send(self, how: signal.Signals) -> None:
        """Send the server a signal, and do not wait for what comes of it."""
        assert self._process is not None
        self._process.send_signal(how)

    def ended(self) -> int:
        """Wait until the server has ended; its exit status, below 0 the signal that it died of."""
        assert self._process is not None
        status = self._process.wait(STOP_SECONDS)
        self._process = None
        return status

    def kill(self) -> None:
        """End the server at once, if one runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "log"

    def _ended(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def environment(root: Path = ROOT) -> dict[str, str]:
    """Ours, without what the one who runs the tests may have set for servers of theirs."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("PARLEY_")}
    own.pop("DATABASE_URL", None)
    own.pop("REDIS_URL", None)
    return {**own, "PYTHONPATH": str(root)}
