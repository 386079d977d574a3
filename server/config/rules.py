"""What holds between settings, and what a value must be beyond its type."""

import re
from collections.abc import Collection, Iterator
from ipaddress import ip_network
from operator import attrgetter
from urllib.parse import urlsplit

from msgspec import Struct

from server.auth.doors import is_loopback, normal_origin
from server.auth.signatures import SECRET_BYTES
from server.auth.tokens import claim_names
from server.config.errors import Problem
from server.config.settings import Settings
from server.config.variables import spelled
from server.providers.offline import Offline
from server.providers.scripted import Scripted
from storage.errors import Unsupported
from storage.sql import dsn
from storage.sql.dsn import path_of

# A secret that a server made for itself says so, and nothing in public takes it.
DEVELOPMENT_SECRET = "parley-development-"  # noqa: S105 - the beginning of one, not a secret
MODELS = (Offline.name, Scripted.name)
_MAKE = "put in what `openssl rand -hex 32` prints"
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_ORIGIN = "https://chat.example.org"


class Pair(Struct, frozen=True):
    """Two settings, by section and name, of which the first must not exceed the second; and why."""

    small: str
    large: str
    why: str
    may_equal: bool = True


PAIRS = (
    Pair(
        "net.low_water_bytes",
        "net.high_water_bytes",
        "a socket that takes no more bytes would be written to again before it has sent any",
    ),
    Pair(
        "socket.pong_s",
        "socket.heartbeat_s",
        "a pong counts until the next ping alone, so no client would have that long",
    ),
    Pair(
        "socket.expiring_s",
        "auth.visitor_life_s",
        "a visitor would be told at once to renew each new token, without end",
        may_equal=False,
    ),
    Pair(
        "socket.expiring_s",
        "auth.token_life_s",
        "a client would be told at once to renew each new token, without end",
        may_equal=False,
    ),
)


def broken_rules(settings: Settings, given: Collection[str]) -> Iterator[Problem]:
    """What is not right; `given` are the variables that somebody set."""
    yield from _addresses(settings)
    yield from _storage(settings)
    yield from _credentials(settings)
    yield from _model(settings)
    yield from _bounds(settings, given)
    yield from _development(settings) if settings.development else _public(settings, given)


def _addresses(settings: Settings) -> Iterator[Problem]:
    url = settings.public_url
    if url is not None and not (_is_web_address(url) and normal_origin(url)):
        sentence = "must be scheme, host and port, and nothing behind them."
        yield Problem("PARLEY_PUBLIC_URL", sentence, f"PARLEY_PUBLIC_URL={_ORIGIN}")
    if not _BASE_PATH.fullmatch(settings.base_path):
        sentence = "must be empty, or begin with a slash and not end with one."
        yield Problem("PARLEY_BASE_PATH", sentence, "PARLEY_BASE_PATH=/chat")
    for origin in settings.allowed_origins:
        if origin != "*" and normal_origin(origin) is None:
            sentence = f"{origin!r} is not an origin: scheme, host and port, no path."
            yield Problem("PARLEY_ALLOWED_ORIGINS", sentence, f"PARLEY_ALLOWED_ORIGINS={_ORIGIN}")
    for proxy in settings.trusted_proxies:
        if not _is_network(proxy):
            sentence = f"{proxy!r} is neither an address nor a network."
            example = "PARLEY_TRUSTED_PROXIES=10.0.0.0/8,127.0.0.1"
            yield Problem("PARLEY_TRUSTED_PROXIES", sentence, example)


def _storage(settings: Settings) -> Iterator[Problem]:
    if settings.data_dir.parts[:1] and settings.data_dir.parts[0].startswith("~"):
        sentence = "must be written out: `~` means nothing here."
        yield Problem("PARLEY_DATA_DIR", sentence, "PARLEY_DATA_DIR=/var/lib/parley")
    url = settings.store_url
    try:
        path_of(url) if url.startswith("sqlite:") else dsn.parse(url)
    except (Unsupported, ValueError) as error:
        why = error.why if isinstance(error, Unsupported) else "its address cannot be read"
        sentence = f"cannot be used: {why}."
        yield Problem("DATABASE_URL", sentence, "DATABASE_URL=sqlite:////var/lib/parley/parley.db")
    unfit = None if settings.redis_url is None else _unfit_for_redis(settings.redis_url)
    if unfit is not None:
        example = "REDIS_URL=redis://redis.example.org:6379/0"
        yield Problem("REDIS_URL", f"cannot be used: {unfit}.", example)


def _unfit_for_redis(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its address cannot be read"
    if parts.scheme not in ("redis", "rediss", "unix"):
        return "it must begin with redis://, rediss:// (TLS) or unix://"
    if port == 0 or not (parts.hostname or parts.path):
        return "it names no server"
    return None


def _credentials(settings: Settings) -> Iterator[Problem]:
    secret = settings.jwt_secret
    if secret is not None and len(secret.encode()) < SECRET_BYTES:
        sentence = f"must have at least {SECRET_BYTES} bytes: {_MAKE}."
        yield Problem("PARLEY_JWT_SECRET", sentence)
    try:
        claim_names(settings.auth.claims)
    except ValueError as unfit:
        yield Problem("PARLEY_AUTH_CLAIMS", str(unfit))
    url = settings.jwks_url
    if url is not None and not _is_web_address(url):
        sentence = "must be an address that begins with https:// or http://."
        yield Problem("PARLEY_JWKS_URL", sentence, f"PARLEY_JWKS_URL={_ORIGIN}/jwks.json")


def _model(settings: Settings) -> Iterator[Problem]:
    if settings.model not in MODELS:
        sentence = f"This version has the models {' and '.join(MODELS)}."
        yield Problem("PARLEY_MODEL", sentence, "PARLEY_MODEL=offline")
    elif settings.model == Scripted.name and not settings.offers_scripted:
        sentence = "The model scripted is offered here with PARLEY_SCRIPTED=1 alone."
        yield Problem("PARLEY_MODEL", sentence, "PARLEY_MODEL=offline")


def _bounds(settings: Settings, given: Collection[str]) -> Iterator[Problem]:
    """Bounds that contradict each other."""
    for pair in PAIRS:
        small, large = attrgetter(pair.small)(settings), attrgetter(pair.large)(settings)
        if small > large or (small == large and not pair.may_equal):
            yield _contradiction(pair, small, large, given)
    if 0 < settings.log.idle_ms <= settings.answers.checkpoint_s * 1000:
        sentence = (
            "must be 0 or far more than PARLEY_ANSWERS_CHECKPOINT_S: what an answer has said since "
            "its last checkpoint would be given up with its log."
        )
        yield Problem("PARLEY_LOG_IDLE_MS", sentence, "PARLEY_LOG_IDLE_MS=3600000")


def _contradiction(pair: Pair, small: float, large: float, given: Collection[str]) -> Problem:
    """Told of the one that somebody set."""
    first, second = (
        f"PARLEY_{path.replace('.', '_').upper()}" for path in (pair.small, pair.large)
    )
    half = type(small)(large / 2)
    if first in given:
        word = "at most" if pair.may_equal else "less than"
        bound, name, example = f"{word} {second}, {spelled(large)}", first, spelled(half)
    else:
        word = "at least" if pair.may_equal else "more than"
        bound, name, example = f"{word} {first}, {spelled(small)}", second, spelled(small * 2)
    return Problem(name, f"must be {bound}: {pair.why}.", f"{name}={example}")


def _development(settings: Settings) -> Iterator[Problem]:
    host = settings.host
    if not is_loopback(f"[{host}]" if ":" in host else host):
        sentence = (
            "In development Parley listens to this machine alone, for it lets anybody in. "
            "Leave it out, or set PARLEY_ENV=production and what that asks for."
        )
        yield Problem("PARLEY_HOST", sentence, "PARLEY_HOST=127.0.0.1")


def _public(settings: Settings, given: Collection[str]) -> Iterator[Problem]:
    here = f"In {settings.env}"
    if settings.jwt_secret is None and settings.jwks_url is None:
        sentence = f"{here} it must be set, or PARLEY_JWKS_URL must: {_MAKE}."
        yield Problem("PARLEY_JWT_SECRET", sentence)
    if (settings.jwt_secret or "").startswith(DEVELOPMENT_SECRET):
        sentence = f"{here} a secret that was made for development is not taken: {_MAKE}."
        yield Problem("PARLEY_JWT_SECRET", sentence)
    for name, what in (("PARLEY_JWT_ISSUER", "issuer"), ("PARLEY_JWT_AUDIENCE", "audience")):
        if name not in given:
            sentence = f"{here} it must be set, so that no other {what}'s tokens are taken."
            yield Problem(name, sentence, f"{name}={_ORIGIN}")
    if (settings.jwks_url or "").startswith("http:"):
        sentence = f"{here} keys are fetched over https:// alone."
        yield Problem("PARLEY_JWKS_URL", sentence, f"PARLEY_JWKS_URL={_ORIGIN}/jwks.json")
    if "*" in settings.allowed_origins:
        sentence = f"{here} `*` is not taken, for any page could then use a visitor's rights."
        yield Problem("PARLEY_ALLOWED_ORIGINS", sentence, f"PARLEY_ALLOWED_ORIGINS={_ORIGIN}")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        return False
    credentials = parts.username is not None or parts.password is not None
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not credentials


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
