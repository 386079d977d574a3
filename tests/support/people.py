"""Principals for tests."""

from typing import Any

from msgspec import structs

from server.auth.policy import GRANTS
from server.auth.principal import Kind, Principal, Role, Tier


def person(user: str, *, tenant: str = "default", **fields: Any) -> Principal:
    """Somebody whose token is good for an hour from 1790000000 on."""
    principal = Principal(
        tenant=tenant,
        user=user,
        kind=Kind.USER,
        roles=frozenset({Role.USER}),
        tier=Tier.FREE,
        scopes=GRANTS[Role.USER],
        token_id=f"token-of-{user}",
        issued_at=1_790_000_000,
        expires_at=1_790_003_600,
    )
    return structs.replace(principal, **fields)
