"""Every setting of the server, with its bounds and what it is: the one list of them.

The variables' names, `.env.example` and the README's table follow from it. A field that is a
section of options is spelled `PARLEY_<SECTION>_<FIELD>`, every other one `PARLEY_<FIELD>` or as its
`variable` says. `secret` is what no message shows, and what may also come in a file.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta, Struct
from msgspec.structs import fields

import server.auth.options
import server.generation.options
import server.http.options
import server.limits.options
import server.net.options
import server.streams.options
import server.ws.options
import storage.log
import storage.redis.options
import storage.sql


class Environment(StrEnum):
    """What kind of place this is; staging follows production's rules."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """The least severe messages that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(Struct, frozen=True, kw_only=True):
    """What was decided about this server from outside, read once at its start."""

    env: Annotated[
        Environment,
        Meta(
            description="The rules that hold: development is for this machine alone; staging and "
            "production refuse what is not safe in public."
        ),
    ] = Environment.DEVELOPMENT
    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="The address or name to listen on; in development one of this machine's "
            "own (127.0.0.1, ::1, localhost).",
            examples=["0.0.0.0"],  # noqa: S104 - what a server in a container is told
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port to listen on; 0: any that is free.")
    ] = 8000
    public_url: Annotated[
        str | None,
        Meta(
            description="Where people reach this server: scheme, host and port, if not where it "
            "listens.",
            examples=["https://chat.example.org"],
        ),
    ] = None
    base_path: Annotated[
        str,
        Meta(
            description="The path below which a proxy offers this server, whether or not it cuts "
            "it off; empty: at the root.",
            examples=["/chat"],
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of proxies whose word on the client's address is "
            "taken; empty: none.",
            examples=["10.0.0.0/8,127.0.0.1"],
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose pages may connect, beside that of PARLEY_PUBLIC_URL; `*` "
            "is refused. In development it has no effect: pages of this machine alone may.",
            examples=["https://www.example.org,https://example.org"],
        ),
    ] = ()
    data_dir: Annotated[
        Path,
        Meta(
            description="The folder with what this server keeps on disk; made if it is missing.",
            examples=["/var/lib/parley"],
        ),
    ] = Path("data")
    database_url: Annotated[
        str | None,
        Meta(
            description="SQLite or PostgreSQL; empty: `parley.db` in the data folder.",
            examples=["postgresql://parley:PASSWORD@db.example.org/parley"],
            extra={"variable": "DATABASE_URL", "secret": True},
        ),
    ] = None
    redis_url: Annotated[
        str | None,
        Meta(
            description="A Redis, or one node of a Cluster, over which any number of instances "
            "share conversations' logs; empty: this process is the only one. A start needs that "
            "node, so name one that stays, or what leads to any of them.",
            examples=["redis://:PASSWORD@redis.example.org:6379/0"],
            extra={"variable": "REDIS_URL", "secret": True},
        ),
    ] = None
    jwt_secret: Annotated[
        str | None,
        Meta(
            description="What signs tokens (HS256), at least 32 bytes: put in what `openssl rand "
            "-hex 32` prints. With PARLEY_JWKS_URL it signs those of visitors alone. In "
            "development one is made and kept in the data folder.",
            extra={"secret": True},
        ),
    ] = None
    jwks_url: Annotated[
        str | None,
        Meta(
            description="Where the public keys are of an issuer that signs with RS256 or ES256.",
            examples=["https://id.example.org/.well-known/jwks.json"],
        ),
    ] = None
    jwt_issuer: Annotated[
        str,
        Meta(
            min_length=1,
            description="What `iss` in a token must be; production wants it set.",
            examples=["https://id.example.org"],
        ),
    ] = "parley"
    jwt_audience: Annotated[
        str,
        Meta(
            min_length=1,
            description="What `aud` in a token must name; production wants it set.",
            examples=["https://chat.example.org"],
        ),
    ] = "parley"
    model: Annotated[
        str, Meta(min_length=1, description="The model that answers where a message names none.")
    ] = "offline"
    scripted: Annotated[
        bool,
        Meta(
            description="Offer the model `scripted`, which plays the script it is sent; in "
            "development it is always offered."
        ),
    ] = False
    instance: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(
            description="This process's name towards clients and in logs; empty: made up at each "
            "start.",
            examples=["parley-1"],
        ),
    ] = None
    log_level: Annotated[
        LogLevel, Meta(description="The least severe messages that are logged.")
    ] = LogLevel.INFO

    warnings: Annotated[
        tuple[str, ...],
        Meta(description="What was set and has no effect in this version.", extra={"variable": ""}),
    ] = ()

    net: server.net.options.Options = server.net.options.Options()
    http: server.http.options.Options = server.http.options.Options()
    auth: server.auth.options.Options = server.auth.options.Options()
    limits: server.limits.options.Options = server.limits.options.Options()
    socket: server.ws.options.Options = server.ws.options.Options()
    answers: server.generation.options.Options = server.generation.options.Options()
    streams: server.streams.options.Options = server.streams.options.Options()
    log: storage.log.Retention = storage.log.Retention()
    database: storage.sql.Options = storage.sql.Options()
    redis: storage.redis.options.Options = storage.redis.options.Options()

    @property
    def development(self) -> bool:
        """Whether the rules for one machine hold, instead of those for the public."""
        return self.env is Environment.DEVELOPMENT

    @property
    def store_url(self) -> str:
        """Where the rows are."""
        return self.database_url or f"sqlite:///{quote(str(self.data_dir / 'parley.db'))}"

    @property
    def offers_scripted(self) -> bool:
        return self.scripted or self.development

    def __repr__(self) -> str:
        """Without the value of a secret, for it may stand in a log."""
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            hidden = field.name in _SECRETS and value is not None
            shown.append(f"{field.name}={'<secret>' if hidden else repr(value)}")
        return f"Settings({', '.join(shown)})"


_SECRETS = frozenset({"database_url", "redis_url", "jwt_secret"})
