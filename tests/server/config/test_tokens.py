"""Tokens as the settings want them."""

import pytest

from protocol.codes import CloseCode
from server.auth.keys import KeysAway
from server.auth.principal import Kind
from server.auth.tokens import TokenRefused
from server.config import Settings, load, tokens_of
from tests.support import issuer

SECRET = {"PARLEY_JWT_SECRET": issuer.SECRET.decode()}
NOWHERE = {"PARLEY_JWKS_URL": "http://127.0.0.1:1/keys"}


def settings(*sets: dict[str, str]) -> Settings:
    return load({name: text for one in sets for name, text in one.items()})


async def test_a_secret_signs_users_and_visitors() -> None:
    """Issuer and audience are the settings', too."""
    tokens = tokens_of(settings(SECRET, {"PARLEY_JWT_ISSUER": "here"}))
    ann = await tokens.verify(tokens.mint(user="ann", ttl_s=60), origin=None)
    assert (ann.user, ann.kind) == ("ann", Kind.USER)
    token, _ = tokens.mint_visitor(visitor="v", tenant="default", site=None, origin=None)
    assert (await tokens.verify(token, origin=None)).kind is Kind.VISITOR
    with pytest.raises(TokenRefused):
        await tokens_of(settings(SECRET)).verify(tokens.mint(user="ann", ttl_s=60), origin=None)


async def test_an_issuers_keys_are_fetched_and_it_is_told_why_not() -> None:
    """The secret beside them signs visitors alone."""
    heard: list[KeysAway] = []
    tokens = tokens_of(settings(SECRET, NOWHERE), heard.append)
    token = tokens_of(settings(SECRET)).mint(user="ann", ttl_s=60)
    key = issuer.private_pem("rsa")
    theirs = issuer.signed(key=key, algorithm="RS256", header={"kid": "r"})
    for shown in (token, theirs):
        with pytest.raises(TokenRefused) as refused:
            await tokens.verify(shown, origin=None)
        assert refused.value.close is CloseCode.UNAUTHENTICATED
    assert [str(away) for away in heard] == ["the request failed: ConnectError"]
    token, _ = tokens.mint_visitor(visitor="v", tenant="default", site=None, origin=None)
    assert (await tokens.verify(token, origin=None)).kind is Kind.VISITOR


def test_settings_that_name_neither_are_not_secured_yet() -> None:
    """The composition's fault, not an operator's."""
    with pytest.raises(ValueError, match="neither"):
        tokens_of(settings())
