"""Processes under test: each on a core of its own, with its use of processor and memory."""

import base64
import hmac
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[2]
START_S = 60.0
STOP_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")

# The core of what is tested, and those of the generator; the same where there is but one. Looked up
# before anybody is bound to any.
_FIRST, *_OTHERS = sorted(os.sched_getaffinity(0))
SERVER_CORE = {_FIRST}
GENERATOR_CORES = set(_OTHERS) or {_FIRST}


def raise_descriptors() -> int:
    """As many files as may be open, here and in the processes started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Subject(ABC):
    """A server process; a context manager that starts and ends it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="parley-bench-"))
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it is not running"
        return self._process.pid

    def cpu_s(self) -> float:
        """Seconds of processor time so far, of all its threads, in and out of the kernel."""
        # After the name, which may hold anything, come the fields from the third on.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Bytes of memory in use."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def token(self, user: str) -> str | None:
        """What lets that user in."""
        return None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)  # nobody waits for a drain here
            self._process.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def _start(self) -> None:
        """Run it, until it serves."""

    def _run(self, arguments: list[str], env: dict[str, str], announcement: Path) -> bytes:
        """Start it, and return what it writes into that file when it serves."""
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.sched_setaffinity(
            self._process.pid, SERVER_CORE
        )  # before it has threads, which inherit it
        deadline = time.monotonic() + START_S
        while not (announcement.exists() and announcement.stat().st_size):
            if _ended(self._process) or time.monotonic() > deadline:
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start:\n{said}")
        return announcement.read_bytes()


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return False
    return True


class FloorServer(Subject):
    """`tests/load/floor.py`."""

    def __init__(self, tokens: int, *, turns: bool = False) -> None:
        super().__init__()
        self._arguments = [str(tokens), *(["turns"] if turns else [])]

    def _start(self) -> None:
        said = self.folder / "port"
        port = self._run(["-m", "tests.load.floor", str(said), *self._arguments], {}, said)
        self.url = f"ws://127.0.0.1:{port.decode()}/ws"


class _Serving(Struct):
    """What is read of a server's `server.json`."""

    url: str


ROOMY = {
    "PARLEY_LIMITS_MESSAGES_PER_MINUTE": "1000000",
    "PARLEY_LIMITS_SOCKETS_PER_PERSON": "20000",
    "PARLEY_LIMITS_SOCKETS": "20000",
    "PARLEY_LIMITS_SOCKETS_PER_ADDRESS": "20000",
    "PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": "10000000",
    "PARLEY_LIMITS_HANDSHAKES_BURST": "1000000",
    "PARLEY_LIMITS_HANDSHAKES_PER_S": "100000",
}


class Parley(Subject):
    """`parley serve`, with everything on and limits that let one address make the load."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        super().__init__()
        self._secret = secrets.token_hex(32)
        self._env = {
            **ROOMY,
            "PARLEY_PORT": "0",
            "PARLEY_DATA_DIR": str(self.folder),
            "PARLEY_SCRIPTED": "1",
            "PARLEY_JWT_SECRET": self._secret,
            "PARLEY_LOG_LEVEL": "info",
            **(env or {}),
        }

    def token(self, user: str) -> str | None:
        """As the host's own login would sign it."""
        now = int(time.time())
        claims = {
            "iss": "parley",
            "aud": "parley",
            "sub": user,
            "iat": now,
            "exp": now + 3600,
            "jti": secrets.token_hex(8),
        }
        signed = ".".join(map(_part, ({"alg": "HS256", "typ": "JWT"}, claims)))
        signature = hmac.digest(self._secret.encode(), signed.encode(), "sha256")
        return f"{signed}.{_base64(signature)}"

    def _start(self) -> None:
        command = ["-m", "server", "serve", "--migrate"]
        said = self._run(command, self._env, self.folder / "server.json")
        serving = msgspec.json.decode(said, type=_Serving)
        self.url = serving.url.replace("http", "ws", 1) + "/ws"


def _part(claims: object) -> str:
    return _base64(msgspec.json.encode(claims))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
