"""Which hosts and origins may knock at all, before anybody says who they are.

An Origin stops browsers alone: others write what they like into it. So it keeps foreign pages out,
and proves nothing.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import unquote_plus

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
_HOST_SHAPE = re.compile(_HOST, re.ASCII)
_ORIGIN_SHAPE = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST}", re.ASCII)
# Long enough for any name that DNS knows, with scheme and port.
_ORIGIN_CHARS = 300

_TOKEN_NAMES = frozenset(
    [
        *("token", "access_token", "id_token", "refresh_token", "auth_token", "jwt", "bearer"),
        *("auth", "authorization", "apikey", "api_key", "secret", "password"),
    ]
)
# Only where a word begins: tried at every `eyJ` of a long one, it would read the rest each time.
_TOKEN_SHAPE = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]")

_NO_HOST = (
    "In development this server answers to this machine's own names alone, such as localhost."
)
_NO_ORIGIN = "This Origin is not let in; an operator can add it to PARLEY_ALLOWED_ORIGINS."
_NO_ORIGIN_HERE = (
    "In development pages of this machine alone are let in; others take PARLEY_ENV=production and"
    " PARLEY_ALLOWED_ORIGINS."
)


def normal_origin(origin: str | None) -> str | None:
    """An Origin in its one spelling, or None for what is none: `null`, a path, a final dot.

    Names in other scripts are none either; a browser sends them in punycode.
    """
    if origin is None or len(origin) > _ORIGIN_CHARS:
        return None
    shape = _ORIGIN_SHAPE.fullmatch(origin.lower())
    if shape is None or not origin.isascii():
        return None
    scheme, host, port = shape["scheme"], shape["host"], shape["port"]
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


class Doors:
    """In development loopback is let in, from whatever port; in production what is configured."""

    def __init__(self, *, development: bool, origins: Iterable[str] = ()) -> None:
        """ValueError for an origin that no browser would send."""
        self._development = development
        self._own = frozenset(_configured(origin) for origin in origins)
        self._sites = frozenset[str]()

    def learn(self, sites: Iterable[str]) -> None:
        """From now on let in the pages of these sites, and no longer those learnt before."""
        known = (normal_origin(origin) for origin in sites)
        self._sites = frozenset(origin for origin in known if origin is not None)

    def refuse(self, host: str | None, origin: str | None, *, browser: bool) -> str | None:
        """Why not (to be answered by 403), or None. `browser`: only a page has business here."""
        if self._development and not (host is not None and is_loopback(host)):
            return _NO_HOST
        if origin is None:
            return "A page must say its Origin." if browser else None
        if not self.lets(origin):
            return _NO_ORIGIN_HERE if self._development else _NO_ORIGIN
        return None

    def lets(self, origin: str) -> bool:
        """Whether pages of this Origin may talk to us."""
        normal = normal_origin(origin)
        if normal is None:
            return False
        if self._development:
            scheme, _, authority = normal.partition("://")
            return scheme in _DEFAULT_PORTS and is_loopback(authority)
        return normal in self._own or normal in self._sites


def is_loopback(authority: str) -> bool:
    """Whether a host, with or without port, names this machine in a way that no DNS can change."""
    shape = _host(authority)
    if shape is None:
        return False
    if shape["host"] == "localhost":
        return True
    try:
        return ip_address(shape["host"].strip("[]")).is_loopback
    except ValueError:
        return False


def _host(authority: str) -> re.Match[str] | None:
    # Asked first: a few letters of other scripts become ASCII in lower case.
    return _HOST_SHAPE.fullmatch(authority.lower()) if authority.isascii() else None


def token_in_query(query: str) -> bool:
    """Whether a URL's query carries a token (by its name or its look): it would end in logs."""
    plain = unquote_plus(unquote_plus(query))
    if _TOKEN_SHAPE.search(plain):
        return True
    names = (pair.partition("=")[0] for pair in re.split("[&;]", plain))
    return any(name.strip().lower() in _TOKEN_NAMES for name in names)


def _configured(origin: str) -> str:
    normal = normal_origin(origin.rstrip("/"))
    if normal is None:
        raise ValueError(
            f"`{origin}` is no origin as a browser sends it. Write scheme, host and, unless it is"
            " the scheme's own, port: `https://chat.example.com`; other scripts in punycode."
        )
    return normal
