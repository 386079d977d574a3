"""What each kind, role and tier may do: the one place where that is said."""

from collections.abc import Iterable

from msgspec import structs

from protocol.codes import ErrorCode
from protocol.frames.from_client import Chat, ClientFrame, Edit, Regenerate
from protocol.limits import Limits
from server.auth.principal import Kind, Principal, Role, Scope, Tier
from server.errors import ChatError

__all__ = [
    "CONVERSATION_SCOPES",
    "FIELD_SCOPES",
    "GRANTS",
    "LIMITS",
    "Role",
    "Scope",
    "Tier",
    "limits_of",
    "refuse_chat",
    "refuse_conversation",
]

_TALK = frozenset({Scope.CHAT})
_TUNE = frozenset(
    {
        Scope.CHAT_MODEL,
        Scope.CHAT_SAMPLING,
        Scope.CHAT_PROMPT,
        Scope.CHAT_RETRIEVAL,
        Scope.CHAT_TOOLS,
    }
)
GRANTS: dict[Role | Kind, frozenset[Scope]] = {
    Kind.VISITOR: _TALK,
    Role.USER: _TALK | _TUNE,
    Role.CURATOR: _TALK | _TUNE,
    Role.OPERATOR: _TALK | _TUNE,
    Role.ADMIN: _TALK | _TUNE,
}
LIMITS: dict[Tier | Kind, Limits] = {
    Kind.VISITOR: Limits(messages_per_minute=30, sockets=10),
    Tier.FREE: Limits(messages_per_minute=60, sockets=20),
    Tier.STARTER: Limits(messages_per_minute=120, sockets=30),
    Tier.PROFESSIONAL: Limits(messages_per_minute=300, sockets=50),
    Tier.ENTERPRISE: Limits(messages_per_minute=600, sockets=100),
}
# The fields of `chat`, `regenerate` and `edit` that not everybody may set, and what lets one.
FIELD_SCOPES: dict[str, Scope] = {
    "model": Scope.CHAT_MODEL,
    "temperature": Scope.CHAT_SAMPLING,
    "max_tokens": Scope.CHAT_SAMPLING,
    "system_prompt": Scope.CHAT_PROMPT,
    "retrieval": Scope.CHAT_RETRIEVAL,
    "tools": Scope.CHAT_TOOLS,
}
# The same of a conversation, for what it says of its answers; the rest of it is its owner's.
CONVERSATION_SCOPES: dict[str, Scope] = {
    "model": Scope.CHAT_MODEL,
    "system_prompt": Scope.CHAT_PROMPT,
    "collection": Scope.CHAT_RETRIEVAL,
}


def scopes_of(
    kind: Kind, roles: frozenset[Role], asked: frozenset[str], *, development: bool
) -> frozenset[Scope]:
    """What a credential is good for: what its bearer may do, narrowed to what it `asked` for.

    A token's `scope` never widens. One that names none of ours was written for somebody else and
    narrows nothing. In development visitors have a user's scopes.
    """
    if kind is Kind.VISITOR:
        granted = GRANTS[Role.USER if development else Kind.VISITOR]
    else:
        granted = frozenset[Scope]().union(*(GRANTS[role] for role in roles))
    named = frozenset(scope for scope in Scope if scope.value in asked)
    return granted & named if named else granted


def limits_of(principal: Principal) -> Limits:
    """The numbers that bound this principal, before what the installation sets for all."""
    if principal.kind is Kind.VISITOR:
        return LIMITS[Kind.VISITOR]
    return LIMITS[principal.tier]


def refuse_chat(principal: Principal, frame: ClientFrame) -> ChatError | None:
    """Why this principal may not send this frame, or None. Only what asks for an answer is asked.

    What is unknown is not free: a field that is in no table and not everybody's would be found by
    the test of this module, not by a visitor.
    """
    if not isinstance(frame, Chat | Regenerate | Edit):
        return None
    if Scope.CHAT not in principal.scopes:
        return _lacks("Asking for answers", Scope.CHAT)
    given = structs.asdict(frame)
    for field, scope in FIELD_SCOPES.items():
        if given.get(field) is not None and scope not in principal.scopes:
            return _lacks(f"The field `{field}`", scope)
    return None


def refuse_conversation(principal: Principal, fields: Iterable[str]) -> ChatError | None:
    """Why this principal may not set these fields of a conversation, or take them away; or None."""
    for field in fields:
        scope = CONVERSATION_SCOPES.get(field)
        if scope is not None and scope not in principal.scopes:
            return _lacks(f"The field `{field}`", scope)
    return None


def _lacks(what: str, scope: Scope) -> ChatError:
    words = f"{what} needs the scope `{scope.value}`, which these credentials do not have."
    return ChatError(ErrorCode.FORBIDDEN, words)
