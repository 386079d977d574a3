"""Database URLs as people are given them: SQLite's files, and what asyncpg takes of PostgreSQL's.

asyncpg sends every parameter it does not know to the server, and a server or a pooler refuses those
that libpq keeps to itself (`channel_binding`, which every Neon URL has). So only known ones pass.
"""

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from storage.errors import Unsupported

SCHEMES = {"postgresql", "postgres", "postgresql+asyncpg"}
SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

_KEPT = {
    "host", "port", "dbname", "user", "password", "passfile", "application_name", "options",
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
}  # fmt: skip


# Names, addresses or a quoted socket folder, each with a port or none.
_HOSTS = re.compile(r"(([^:,\[\]]*|\[[^\[\]]*\])(:\d*)?(,|$))*")


def path_of(url: str) -> Path:
    """The file an URL names: `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if not path or path == ":memory:" or parts.netloc or parts.query or parts.fragment:
        example = (
            "sqlite:///data/parley.db is a file below this folder, sqlite:////srv/parley.db not"
        )
        raise Unsupported("a SQLite URL other than sqlite:///FILE", f"for example {example}")
    return Path(path)


class Dsn(Struct, frozen=True):
    """Where a PostgreSQL is; `text` holds the password and is for asyncpg alone."""

    text: str
    # Whether a transaction pooler stands before the server; None leaves it to a look at open.
    pooled: bool | None

    def __repr__(self) -> str:
        return f"Dsn(pooled={self.pooled})"


def parse(url: str) -> Dsn:
    """Reads a URL; `pgbouncer=true` or `=false` in its query settles what else is found out."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
    except ValueError:
        raise Unsupported("this PostgreSQL URL", "its address cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise Unsupported("this database URL", "it starts with neither sqlite: nor postgresql:")
    pooled = _flag("pgbouncer", query.pop("pgbouncer", None))
    if "ssl" in query:  # SQLAlchemy's name for it
        query.setdefault(
            "sslmode", {"true": "require", "false": "disable"}.get(query["ssl"], query["ssl"])
        )
    if query.get("sslmode", "prefer") not in SSL_MODES:
        raise Unsupported("this sslmode", f"it is one of {', '.join(sorted(SSL_MODES))}")
    credentials, _, host = parts.netloc.rpartition("@")
    if parts.fragment or not _HOSTS.fullmatch(host):
        # Whatever it is, it may be half of a password, so nothing may quote it.
        why = "its address cannot be read; in a password write / ? # [ ] as %2F %3F %23 %5B %5D"
        raise Unsupported("this PostgreSQL URL", why)
    if host.startswith(":"):  # only a port, as with a socket's folder in `?host=`
        query.setdefault("port", host[1:])
        host = ""
    query = {key: value for key, value in query.items() if key in _KEPT}
    query.setdefault("application_name", "parley")
    text = f"postgresql://{_requoted(credentials)}{host}{parts.path}?{urlencode(query)}"
    return Dsn(text, pooled)


def _requoted(credentials: str) -> str:
    """A password may hold what asyncpg would take for the URL's next part, such as an `@`."""
    if not credentials:
        return ""
    user, colon, password = credentials.partition(":")
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}@"


def _flag(name: str, value: str | None) -> bool | None:
    meaning: dict[str | None, bool | None] = {None: None, "true": True, "false": False}
    if value not in meaning:
        raise Unsupported(f"{name}={value} in the database URL", "it is true or false")
    return meaning[value]
