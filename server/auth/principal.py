"""Who a verified credential speaks for."""

from enum import StrEnum

from protocol.types import Guarded
from storage.values import Owner

DEFAULT_TENANT = "default"


class Kind(StrEnum):
    """A visitor came through a site's widget; a user was named by the host's issuer."""

    USER = "user"
    VISITOR = "visitor"


class Role(StrEnum):
    """What somebody is for in their tenant. Every user has the first."""

    USER = "user"
    CURATOR = "curator"  # documents
    OPERATOR = "operator"  # sessions, reports
    ADMIN = "admin"


class Tier(StrEnum):
    """How much of it somebody may use."""

    FREE = "free"
    STARTER = "starter"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Scope(StrEnum):
    """One thing that a credential may be good for, as a token's `scope` spells it."""

    CHAT = "chat"  # send, edit, regenerate, with the fields that everybody may set
    CHAT_MODEL = "chat:model"
    CHAT_SAMPLING = "chat:sampling"
    CHAT_PROMPT = "chat:prompt"
    CHAT_RETRIEVAL = "chat:retrieval"
    CHAT_TOOLS = "chat:tools"


class Principal(Guarded, frozen=True, kw_only=True):
    """Who is there; comes from a verified credential and from nowhere else. Times in unix seconds.

    `features` are those that the host switched on for this person. `site` and `origin` are what a
    visitor is bound to.
    """

    tenant: str
    user: str
    kind: Kind
    roles: frozenset[Role]
    tier: Tier
    scopes: frozenset[Scope]
    token_id: str
    issued_at: float
    expires_at: float
    features: tuple[str, ...] = ()
    token_budget: int | None = None
    name: str | None = None
    email: str | None = None
    locale: str | None = None
    site: str | None = None
    origin: str | None = None

    @property
    def owner(self) -> Owner:
        """Whose rows this principal may reach."""
        return Owner(self.tenant, self.user)

    def __repr__(self) -> str:
        """Show no name and no address."""
        return f"Principal({self.tenant!r}, {self.user!r}, {self.kind.value}, {self.tier.value})"
