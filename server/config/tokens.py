"""What verifies and signs tokens as the settings say: for the server and `parley token` alike."""

from collections.abc import Callable

from server.auth.keys import Keys, KeysAway, OneKey, PublishedKeys
from server.auth.tokens import Tokens
from server.config.settings import Settings


def tokens_of(settings: Settings, report: Callable[[KeysAway], None] = lambda _: None) -> Tokens:
    """Of settings that are `secured`; `report` hears why an issuer's keys could not be fetched."""
    secret = settings.jwt_secret.encode() if settings.jwt_secret is not None else None
    return Tokens(
        _keys(settings, secret, report),
        settings.auth,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        secret=secret,
        development=settings.development,
    )


def _keys(settings: Settings, secret: bytes | None, report: Callable[[KeysAway], None]) -> Keys:
    if settings.jwks_url is not None:
        return PublishedKeys(settings.jwks_url, settings.auth, report=report)
    if secret is None:
        raise ValueError("neither a secret nor an issuer's keys are configured")
    return OneKey.of_secret(secret)
