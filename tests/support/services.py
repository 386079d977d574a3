"""Private PostgreSQL, pgbouncer and Redis processes, each in its own temporary folder.

Every process dies with the tests, also when those are killed, and leaves the machine as it was.
"""

import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Self
from urllib.parse import urlsplit

import redis

from tests.support import programs

START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.01
LOOPBACK = "127.0.0.1"
PREFIX = "parley-tests-"
# Below those from which the kernel gives one to whoever asks for any: a service that is down for a
# while finds its own still free, whatever other tests do meanwhile.
PORTS = range(10_000, 32_000)
WORKERS = 8  # that each have some of them for themselves


class StartFailed(Exception):
    """A service ended, or did not answer in time, while it started; the text is its log."""


class Service(ABC):
    """One server process in a folder of its own, on a port it keeps over restarts."""

    stop_signal = signal.SIGTERM
    close_signal = signal.SIGTERM  # at the end of all, when its data go too

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = _make_folder()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def prepare(self) -> None:
        """Writes what the first start needs."""

    @abstractmethod
    def command(self) -> tuple[str, list[str]]:
        """The program's name and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the started process serves by now."""

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{type(self).__name__} is not running"
        return self._process.pid

    def start(self) -> None:
        """Starts the process and returns once it answers."""
        name, arguments = self.command()
        program = programs.find(name)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_wrapper(self.stop_signal), str(program), *arguments],
                cwd=self.folder,
                env=programs.environment(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = monotonic() + START_SECONDS
        while not self.answers():
            if _ended(self._process, POLL_SECONDS) or monotonic() > deadline:
                self.kill9()
                raise StartFailed(f"{name}: {self.log.read_text(errors='replace')[-4000:]}")

    def stop(self, how: signal.Signals | None = None) -> None:
        """Asks the process to end and waits until it did."""
        if self._process is None:
            return
        self._process.send_signal(how or self.stop_signal)
        if not _ended(self._process, STOP_SECONDS):
            self.kill9()
        self._process = None

    def restart(self) -> None:
        """An orderly stop, then a start on the same port and data."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        """Kills the process and its children at once, as a crash of the server would."""
        with suppress(ProcessLookupError):
            self._signal_all(signal.SIGSTOP)  # so that no child is born between look and kill
            self._signal_all(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    @contextmanager
    def stop_cont(self) -> Iterator[None]:
        """Freezes the process and its children for the block: connections stay, nothing answers."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self.stop(self.close_signal)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def _run(self, name: str, arguments: list[str]) -> str:
        program = programs.find(name)
        done = subprocess.run(
            [*_wrapper(signal.SIGKILL), str(program), *arguments],
            cwd=self.folder,
            env=programs.environment(program),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StartFailed(f"{name}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)  # read by the account the service runs as, whatever our umask

    def _signal_all(self, sig: signal.Signals) -> None:
        if self._process is None:
            return
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = [self.pid]
        if children.exists():
            pids += [int(pid) for pid in children.read_text().split()]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, sig)


class Postgres(Service):
    """A PostgreSQL cluster with one superuser and no passwords.

    Without `durable` it never syncs, which is faster and survives everything but the machine's end.
    """

    stop_signal = signal.SIGINT  # "fast": ends sessions instead of waiting for them
    close_signal = signal.SIGQUIT  # "immediate": without a last checkpoint of every database
    user = "parley"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.durable = durable

    def prepare(self) -> None:
        arguments = ["--pgdata=data", f"--username={self.user}", "--auth=trust", "--no-sync"]
        self._run("initdb", [*arguments, "--encoding=UTF8", "--locale=C"])

    def command(self) -> tuple[str, list[str]]:
        switch = "on" if self.durable else "off"
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "fsync": switch,
            "full_page_writes": switch,
        }
        pairs = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return "postgres", ["-D", "data", *pairs]

    def answers(self) -> bool:
        # The last line of its pid file is how the server tells pg_ctl that it is ready; the first
        # tells this server from a killed one that left the file behind.
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}@{LOOPBACK}:{self.port}/{database}"


class Pgbouncer(Service):
    """A pooler in transaction mode before a PostgreSQL, for any database name."""

    stop_signal = close_signal = (
        signal.SIGQUIT
    )  # at once; what INT and TERM wait for differs between versions

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.upstream = urlsplit(upstream)

    @property
    def user(self) -> str:
        return self.upstream.username or "postgres"

    def prepare(self) -> None:
        server = f"host={self.upstream.hostname} port={self.upstream.port or 5432} user={self.user}"
        if self.upstream.password:
            server += f" password={self.upstream.password}"
        self._write("users", f'"{self.user}" ""\n')
        self._write(
            "pgbouncer.ini",
            f"[databases]\n* = {server}\n"
            "[pgbouncer]\n"
            f"listen_addr = {LOOPBACK}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = trust\nauth_file = users\n"
            "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 500\n"
            # What installations commonly add; any other startup parameter is refused.
            "ignore_startup_parameters = extra_float_digits\n",
        )

    def command(self) -> tuple[str, list[str]]:
        return "pgbouncer", ["pgbouncer.ini"]

    def answers(self) -> bool:
        return accepts(self.port)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}@{LOOPBACK}:{self.port}/{database}"


class Redis(Service):
    """A Redis that keeps nothing on disk, unless it is to `keep` all it acknowledged."""

    def __init__(self, *, keep: bool = False, **settings: str) -> None:
        """The settings are its own, with `_` for `-`; of a name here and there these count."""
        super().__init__()
        self._settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "save": "",
            "appendonly": "yes" if keep else "no",
            "appendfsync": "always",
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }

    def prepare(self) -> None:
        """Its arguments say everything."""

    def command(self) -> tuple[str, list[str]]:
        pairs = [part for name, value in self._settings.items() for part in (f"--{name}", value)]
        return "redis-server", pairs

    def answers(self) -> bool:
        # PING, because a Redis that still loads accepts connections too.
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1.0) as peer:
            peer.sendall(b"PING\r\n")
            return peer.recv(64) == b"+PONG\r\n"
        return False

    def ask(self, *words: str | int) -> Any:
        """What it says to a command, on a connection of its own."""
        with redis.Redis(LOOPBACK, self.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def setting(self, name: str) -> str:
        """What it was started with."""
        return self._settings[name]

    def url(self, database: int = 0) -> str:
        return f"redis://{LOOPBACK}:{self.port}/{database}"


def _ports() -> Iterator[int]:
    """Those of this worker, in an order of its own, and none twice before all were given.

    Between being given and being listened on, a port belongs to whoever else looks at it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    own = list(PORTS)[worker::WORKERS]
    begins = secrets.randbelow(len(own))
    return itertools.cycle(own[begins:] + own[:begins])


_given = _ports()


def free_port() -> int:
    """A loopback port nobody listens on at the moment, nor is given who asks for any port."""
    while True:
        port = next(_given)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def accepts(port: int) -> bool:
    """Whether somebody listens on that loopback port."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), 1.0):
        return True
    return False


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _wrapper(death_signal: signal.Signals) -> list[str]:
    """What makes the program after it die with us, and not run as root, which most refuse."""
    account = _account()
    try:
        setpriv = str(programs.find("setpriv"))
    except programs.ProgramMissing:
        if account is not None:
            raise
        return []  # not on Linux
    wrapper = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG")]
    if account is not None:
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
        wrapper += [*ids, "--clear-groups"]
    return wrapper


def _account() -> pwd.struct_passwd | None:
    """Whom services run as when we are root; None: as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _make_folder() -> Path:
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    account = _account()
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def sweep() -> None:
    """Removes the folders of test runs that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
