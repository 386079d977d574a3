"""How a server tells other verbs of its data folder that it is there.

The file alone proves nothing, for a server that is killed leaves it behind: who reads it asks the
server. What two must not do at once is kept apart by the database's own lock.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from server.cli.asking import NoAnswer, get
from server.config import ConfigError, Problem, Settings
from storage.errors import Busy, StorageError

FILE = "server.json"


class Serving(Struct, frozen=True, kw_only=True):
    """A server that runs from a data folder."""

    pid: int
    url: str  # as this machine reaches it
    instance: str
    version: str
    started: str  # RFC 3339


class Health(Struct, frozen=True, kw_only=True):
    """What is read of a server's word on itself."""

    name: str
    version: str
    instance: str
    schema_version: int
    sockets: int = 0
    answers: int = 0
    draining: bool = False


@contextmanager
def announced(data_dir: Path, serving: Serving) -> Iterator[None]:
    """The file is there as long as this lasts; only its owner may read it."""
    path = data_dir / FILE
    draft = path.with_name(f"{FILE}.{serving.pid}")
    try:
        draft.touch(mode=0o600)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(serving)) + b"\n")
        draft.replace(path)
    except OSError as error:
        sentence = f"{path} cannot be written: {error.strerror}."
        raise ConfigError([Problem("PARLEY_DATA_DIR", sentence)]) from None
    try:
        yield
    finally:
        if recorded(data_dir) == serving:  # else another server's word stands there now
            path.unlink(missing_ok=True)


def recorded(data_dir: Path) -> Serving | None:
    """What the file says, whether or not it is still so."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Serving)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def living(settings: Settings) -> tuple[Serving, Health] | None:
    """The server that runs from the data folder, and how it is; None if none answers."""
    serving = recorded(settings.data_dir)
    if serving is None or not _lives(serving.pid):
        return None
    with suppress(NoAnswer):
        health = health_of(serving.url)
        if health.instance == serving.instance:
            return serving, health
    return None


def leaving(settings: Settings, error: StorageError) -> Serving | None:
    """The data folder's server, if it keeps the database from us and answers no more.

    So it is from the first signal on: it takes no connection, and its answers may still end.
    """
    serving = recorded(settings.data_dir)
    if serving is None or not isinstance(error, Busy) or error.holder != f"process {serving.pid}":
        return None
    return serving if living(settings) is None else None


def why_not(settings: Settings, error: StorageError) -> str:
    """Why the database is not to be had, and what to do."""
    serving = leaving(settings, error)
    if serving is None:
        return str(error)
    return (
        f"The server with process id {serving.pid} is shutting down on this folder, or hangs. Wait "
        f"until it has ended; a second signal (`kill {serving.pid}`) has it end at once."
    )


def health_of(url: str) -> Health:
    """What a Parley server says of itself; NoAnswer if there is none."""
    try:
        return msgspec.json.decode(get(url, "/health"), type=Health)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoAnswer(f"{url} answers, but not as Parley does") from None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or a number that no process has
        pass
    return True
