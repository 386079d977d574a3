"""Rows about who may come, and the trail of what was done with power over others.

A repr may end up in a log, so none shows an address, a name or a hash.
"""

from enum import StrEnum

from msgspec import Struct

from storage.values import EMPTY_OBJECT, Json


class UserKind(StrEnum):
    """A visitor came through a site's widget; a user was named by an issuer or made here."""

    VISITOR = "visitor"
    USER = "user"


class Tenant(Struct, frozen=True, kw_only=True):
    """Whose data stands apart from everybody else's."""

    id: str
    name: str
    settings: Json = EMPTY_OBJECT
    disabled: bool = False


class Site(Struct, frozen=True, kw_only=True):
    """A web site that carries the widget; `origins` are exact."""

    tenant: str
    id: str
    public_key: str
    name: str
    origins: tuple[str, ...] = ()
    settings: Json = EMPTY_OBJECT
    disabled: bool = False


class User(Struct, frozen=True, kw_only=True):
    """A person. Tokens issued before `sessions_from` (milliseconds) are refused."""

    tenant: str
    id: str
    kind: UserKind = UserKind.USER
    roles: tuple[str, ...] = ("user",)
    tier: str = "free"
    name: str | None = None
    email: str | None = None
    locale: str | None = None
    password_hash: str | None = None
    token_budget: int | None = None
    disabled: bool = False
    sessions_from: int = 0
    created_at: int = 0

    def __repr__(self) -> str:
        return f"User({self.tenant!r}, {self.id!r}, {self.kind!r}, roles={self.roles})"


class Key(Struct, frozen=True, kw_only=True):
    """An API key; the key itself is stored nowhere, its hash finds this row."""

    tenant: str
    id: str
    hash: str
    name: str
    user: str
    scopes: tuple[str, ...]
    expires_at: int | None = None
    revoked_at: int | None = None
    created_at: int = 0

    def __repr__(self) -> str:
        return f"Key({self.tenant!r}, {self.id!r}, user={self.user!r}, scopes={self.scopes})"


class NewRenewal(Struct, frozen=True, kw_only=True):
    """A visitor's renewal secret by its hash, and the site and Origin it is bound to ("": none).

    `family` names it and all that take its place.
    """

    family: str
    hash: str
    tenant: str
    visitor: str = ""  # not known where a secret is shown
    site: str = ""
    origin: str = ""

    def __repr__(self) -> str:
        return f"NewRenewal({self.tenant!r}, {self.visitor!r}, {self.site!r}, {self.origin!r})"


class Renewal(Struct, frozen=True, kw_only=True):
    """Who comes back by a renewal secret, and until when."""

    tenant: str
    visitor: str
    expires_at: int


class Rotation(StrEnum):
    """What became of a renewal secret that was shown."""

    GRANTED = "granted"  # the next one is good from now on
    REPLAYED = "replayed"  # it was used up long ago: somebody has a copy, so none is good any more
    UNKNOWN = "unknown"  # or expired, or bound to another site or Origin


class Act(Struct, frozen=True, kw_only=True):
    """What somebody did, to be written down. `detail` holds ids and settings, no person's words."""

    actor: str
    action: str
    object: str
    detail: Json = EMPTY_OBJECT


class AuditEntry(Struct, frozen=True, kw_only=True):
    """A link of a tenant's chain. `person` is the actor, unless it was forgotten."""

    number: int
    actor: str  # a pseudonym
    person: str | None
    action: str
    object: str
    detail: Json
    created_at: int
    previous: str
    hash: str
