"""What each kind, role and tier may do."""

import itertools
from typing import Any

import pytest
from msgspec import structs

from protocol.codes import ErrorCode
from protocol.frames.from_client import Chat, Edit, Ping, Regenerate, Retrieval
from protocol.limits import Limits
from server.auth.policy import (
    CONVERSATION_SCOPES,
    FIELD_SCOPES,
    GRANTS,
    LIMITS,
    limits_of,
    refuse_chat,
    refuse_conversation,
    scopes_of,
)
from server.auth.principal import Kind, Role, Scope, Tier
from storage.records import Change
from tests.support.people import person

# The contract's own list.
EVERYBODYS = {"id", "content", "conversation", "parent", "attachments", "metadata", "on_busy"}
GIVEN: dict[str, Any] = {
    "model": "cohere/command-a-03-2025",
    "temperature": 0.0,
    "max_tokens": 1,
    "system_prompt": "Be brief.",
    "retrieval": False,
    "tools": [],
}
CHAT = Chat(id="1", content="hello")
VISITOR = person("v", kind=Kind.VISITOR, scopes=GRANTS[Kind.VISITOR])


def test_the_table() -> None:
    """Everybody talks; how the model answers is a user's to say. Nothing else is granted yet."""
    assert set(GRANTS) == {Kind.VISITOR, *Role}
    assert GRANTS[Kind.VISITOR] == {Scope.CHAT}
    assert all(GRANTS[role] == set(Scope) for role in Role)
    rates = {who: (each.messages_per_minute, each.sockets) for who, each in LIMITS.items()}
    assert rates == {
        Kind.VISITOR: (30, 10),
        Tier.FREE: (60, 20),
        Tier.STARTER: (120, 30),
        Tier.PROFESSIONAL: (300, 50),
        Tier.ENTERPRISE: (600, 100),
    }


def test_no_tier_promises_more_than_the_wire() -> None:
    """`protocol.limits` bounds what any server may say of sizes."""
    most = structs.asdict(Limits())
    for limits in LIMITS.values():
        for name, number in structs.asdict(limits).items():
            if name not in {"messages_per_minute", "typing_per_minute", "sockets"}:
                assert number <= most[name]


def test_every_field_of_chat_is_everybodys_or_needs_a_scope() -> None:
    """A field that is added to the wire takes its place in one of the two."""
    fields = set(Chat.__struct_fields__)
    assert EVERYBODYS.isdisjoint(FIELD_SCOPES)
    assert fields == EVERYBODYS | set(FIELD_SCOPES)
    assert set(GIVEN) == set(FIELD_SCOPES)


@pytest.mark.parametrize("field", sorted(FIELD_SCOPES))
def test_in_production_a_visitor_sets_no_other_field(field: str) -> None:
    """Not even to what it would be anyway."""
    refusal = refuse_chat(VISITOR, structs.replace(CHAT, **{field: GIVEN[field]}))
    assert refusal is not None
    assert refusal.code is ErrorCode.FORBIDDEN
    assert field in refusal.message
    assert refuse_chat(person("ann"), structs.replace(CHAT, **{field: GIVEN[field]})) is None


def test_what_a_visitor_may_set_passes() -> None:
    """All of it at once."""
    frame = structs.replace(
        CHAT, conversation="c", parent="m", attachments=["a"], metadata={"a": 1}
    )
    assert refuse_chat(VISITOR, frame) is None
    assert refuse_chat(VISITOR, Edit(id="1", message="m", content="hello")) is None
    assert refuse_chat(VISITOR, Regenerate(id="1", answer="m")) is None


def test_another_model_for_another_answer_needs_the_scope_too() -> None:
    """`regenerate` is no way round."""
    assert refuse_chat(VISITOR, Regenerate(id="1", answer="m", model="a/b")) is not None


def test_without_the_scope_chat_nobody_asks_for_answers() -> None:
    """Other frames are not this rule's."""
    narrowed = person("ann", scopes=frozenset({Scope.CHAT_MODEL}))
    for frame in (CHAT, Edit(id="1", message="m", content="x"), Regenerate(id="1", answer="m")):
        refusal = refuse_chat(narrowed, frame)
        assert refusal is not None
        assert refusal.code is ErrorCode.FORBIDDEN
    assert refuse_chat(narrowed, Ping()) is None


def test_a_retrieval_that_is_asked_for_is_given() -> None:
    """As is one that is declined."""
    assert refuse_chat(VISITOR, structs.replace(CHAT, retrieval=Retrieval())) is not None


def test_every_field_of_a_conversation_is_its_owners_or_needs_a_scope() -> None:
    """What the server alone sets is asked for by nobody."""
    owners = {"title", "status", "metadata", "summary"}
    assert set(Change.__struct_fields__) == owners | set(CONVERSATION_SCOPES)
    assert refuse_conversation(VISITOR, owners) is None
    for field in CONVERSATION_SCOPES:
        refusal = refuse_conversation(VISITOR, ["title", field])
        assert refusal is not None
        assert refusal.code is ErrorCode.FORBIDDEN
        assert field in refusal.message
    assert refuse_conversation(person("ann"), Change.__struct_fields__) is None


def test_in_development_visitors_have_a_users_scopes() -> None:
    """In production their own."""
    for development, scopes in ((True, GRANTS[Role.USER]), (False, GRANTS[Kind.VISITOR])):
        got = scopes_of(Kind.VISITOR, frozenset(), frozenset(), development=development)
        assert got == scopes


def test_a_scope_narrows_and_never_widens() -> None:
    """One that names nothing of ours was meant for others."""
    roles = [frozenset(some) for some in itertools.combinations(Role, 2)]
    for mine in roles:
        full = scopes_of(Kind.USER, mine, frozenset(), development=False)
        for words in ("chat", "chat chat:model openid", "openid email", "admin"):
            asked = frozenset(words.split())
            got = scopes_of(Kind.USER, mine, asked, development=False)
            assert got <= full
            ours = {scope for scope in Scope if scope.value in asked}
            assert got == (ours & full if ours else full)
    asked = frozenset({"chat", "chat:prompt"})
    assert scopes_of(Kind.VISITOR, frozenset(), asked, development=False) == {Scope.CHAT}


def test_a_visitor_has_a_visitors_limits_whatever_the_tier() -> None:
    """A user the tier's."""
    assert limits_of(person("v", kind=Kind.VISITOR, tier=Tier.ENTERPRISE)) == LIMITS[Kind.VISITOR]
    assert limits_of(person("u", tier=Tier.ENTERPRISE)) == LIMITS[Tier.ENTERPRISE]
