"""Where the server is that a client's verb talks to, and who it is there."""

import asyncio
import getpass
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from server.auth.tokens import Tokens as Issuer
from server.cli.asking import NoAnswer, post
from server.cli.port import url_of
from server.cli.serving import living
from server.config import Settings, tokens_of, with_kept_secret

VISITORS = "/api/v1/visitors"
USUAL_PORT = 8000
MINTED_S = 3600  # then another one is made
STRANGER = "local"  # where the machine has no name for its user
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[^\s\[\]:@]+)(:[0-9]*)?")
_PATH = re.compile("[!-~]*")  # what a line of HTTP can hold

Tokens: TypeAlias = Callable[[], Awaitable[str | None]]


class AccessFailed(Exception):
    """There is no server, or it lets us not in; the text says what to do."""


class Found(Struct, frozen=True):
    """A server's address, and whether it runs from this data folder."""

    url: str
    ours: bool


def no_server(url: str, why: object = None) -> AccessFailed:
    """Nothing that speaks our protocol answers there."""
    if isinstance(why, OSError) and why.errno is not None and why.errno > 0:  # else the resolver's
        why = os.strerror(why.errno)
    because = f" ({why})" if why else ""
    return AccessFailed(
        f"No Parley server answers at {url}{because}. Start one with scripts/run,"
        " or name another with --url."
    )


def find_server(named: str | None, settings: Settings) -> Found:
    """The one that was named, the one that runs here, or where one usually is."""
    here = living(settings)
    own: str | None = None
    if here is not None:  # by its public name, where it has one: it may go by no other
        own = checked(_public(settings) or here[0].url)
    if named is not None:
        url = checked(named)
        return Found(url, ours=url == own)
    if own is not None:
        return Found(own, ours=True)
    usual = _public(settings) or url_of(settings, settings.port or USUAL_PORT)
    return Found(checked(usual), ours=False)


def _public(settings: Settings) -> str | None:
    return settings.public_url + settings.base_path if settings.public_url is not None else None


def find_tokens(token: str | None, found: Found, settings: Settings) -> Tokens:
    """Tokens for that server: what we were given, made with our secret, or a visitor's.

    With our secret for our own server alone: another would learn a token that is good here.
    """
    if token:
        return given(token)
    if found.ours:
        with suppress(ValueError):  # only an issuer can sign those that it takes, or a lost secret
            return minted(tokens_of(with_kept_secret(settings)))
    return Visitor(found.url)


def checked(url: str) -> str:
    """An http(s) address without its last slash; a socket's address is taken for its server's."""
    wrong = AccessFailed(f"{url[:200]!r} is no address of a server. One is http://127.0.0.1:8000.")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port  # looked at only when it is asked for
        (parts.hostname or "").encode("idna")  # which the resolver does, and has no words for
    except ValueError:
        raise wrong from None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    fits = _AUTHORITY.fullmatch(parts.netloc) and _PATH.fullmatch(parts.path)
    if scheme not in ("http", "https") or not fits:
        raise wrong
    path = parts.path.rstrip("/").removesuffix("/ws")
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def socket_url(url: str) -> str:
    """Where the server's socket is."""
    return f"ws{url.removeprefix('http')}/ws"


def given(token: str) -> Tokens:
    """A token that somebody handed over: when it ends, there is no other."""
    left = [token]

    async def next_token() -> str | None:
        return left.pop() if left else None

    return next_token


def minted(issuer: Issuer) -> Tokens:
    """Tokens for this machine's user, signed as the server signs; ValueError if it does not."""
    left = [issuer.mint(user=user_here(), ttl_s=MINTED_S)]

    async def next_token() -> str:
        return left.pop() if left else issuer.mint(user=user_here(), ttl_s=MINTED_S)

    return next_token


def user_here() -> str:
    """The login name."""
    try:
        return getpass.getuser() or STRANGER
    except (KeyError, OSError):  # a container's user may have a number alone
        return STRANGER


class _Arrival(Struct, frozen=True):
    token: str
    renewal: str | None = None


class _Failure(Struct, frozen=True):
    message: str


class _Refusal(Struct, frozen=True):
    error: _Failure


class Visitor:
    """Tokens of a visitor, whom the server knows again by the renewal secret."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._renewal: str | None = None

    async def __call__(self) -> str:
        """The first token, or one that renews it."""
        body = msgspec.json.encode({"renewal": self._renewal} if self._renewal else {})
        try:
            status, answer = await asyncio.to_thread(post, self._url, VISITORS, body)
        except NoAnswer as silence:
            raise no_server(self._url, silence.why) from None
        try:
            if status == HTTPStatus.CREATED:
                arrival = msgspec.json.decode(answer, type=_Arrival)
                self._renewal = arrival.renewal
                return arrival.token
            why = msgspec.json.decode(answer, type=_Refusal).error.message
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise no_server(self._url, f"HTTP {status}") from None
        raise AccessFailed(
            f"{self._url} takes no visitor: {why}"
            " Bring a token by --token or PARLEY_TOKEN; `parley token` prints one."
        )
