"""In development a server makes its own secret and keeps it, so that tokens outlive a restart."""

import secrets

from msgspec.structs import replace

from server.auth.secret import SecretUnfit, development_secret
from server.config.errors import ConfigError, Problem
from server.config.rules import DEVELOPMENT_SECRET
from server.config.settings import Settings


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
