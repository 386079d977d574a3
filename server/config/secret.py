"""In development a server makes its own secret and keeps it, so that tokens outlive a restart."""

import os
import secrets
from pathlib import Path

from msgspec.structs import replace

from server.auth.secret import NAME, SecretUnfit, development_secret
from server.config.errors import ConfigError, Problem
from server.config.rules import DEVELOPMENT_SECRET
from server.config.settings import Settings


class NoSecretYet(ValueError):
    """No server was started on the data folder, so there is no secret of its own in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"There is no secret to sign with, for no server was started on {self.folder} yet."
            " Start it once (scripts/run), or set PARLEY_DATA_DIR or PARLEY_JWT_SECRET as it has"
            " them."
        )


def with_kept_secret(settings: Settings) -> Settings:
    """The settings with the secret that a server has; `NoSecretYet` where it never made one.

    For whoever is no server: of a secret that is made here, the server elsewhere knows nothing.
    """
    if settings.jwt_secret is None and settings.development:
        try:
            os.lstat(settings.data_dir / NAME)
        except FileNotFoundError:
            raise NoSecretYet(settings.data_dir.resolve()) from None
        except OSError:
            pass  # `secured` says why it is not to be had
    return secured(settings)


def secured(settings: Settings) -> Settings:
    """The settings with a secret, where development has to find or make one."""
    if settings.jwt_secret is not None or not settings.development:
        return settings
    try:
        secret = development_secret(settings.data_dir, _random)
    except SecretUnfit as unfit:
        raise ConfigError([Problem("PARLEY_JWT_SECRET", str(unfit))]) from None
    return replace(settings, jwt_secret=secret.decode("utf-8", "replace"))


def _random(size: int) -> str:
    return f"{DEVELOPMENT_SECRET}{secrets.token_hex(size)}"
