"""The development secret: random, made at the first start, kept beside the data."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from server.auth.signatures import SECRET_BYTES

NAME = "secret"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretUnfit(Exception):
    """The file with the secret cannot be used; says why and what to do."""


def development_secret(folder: Path, random: Callable[[int], str] = secrets.token_hex) -> bytes:
    """The secret that this data directory's tokens are signed with; made if there is none yet."""
    path = folder / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.lexists(path):
            _make(path, random(SECRET_BYTES))
        return _read(path)
    except OSError as error:
        raise SecretUnfit(
            f"The secret in {path} cannot be made or read ({error.strerror}). Tokens are signed"
            " with it. Give the server a data directory that it may write to."
        ) from error


def _make(path: Path, text: str) -> None:
    """Whole or not at all; of several processes that try, one is first and all use its secret."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read(path: Path) -> bytes:
    # Opened first and looked at then, so that what was looked at is what is read.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise SecretUnfit(
                f"{path} is not a file of this process's own user, so others may know or choose"
                " the secret. Remove it; a new one is made at the next start."
            )
        if state.st_mode & _OTHERS:
            raise SecretUnfit(
                f"{path} may be read or written by others (mode {stat.S_IMODE(state.st_mode):04o}):"
                " whoever reads it can make tokens for anybody. Run"
                f" `chmod 600 {path}` if nobody did, else remove it; a new one is made."
            )
        secret = file.read(4096).strip()
    if len(secret) < SECRET_BYTES:
        raise SecretUnfit(
            f"{path} holds {len(secret)} bytes; a secret of fewer than {SECRET_BYTES} could be"
            " guessed. Remove it; a new one is made at the next start."
        )
    return secret
