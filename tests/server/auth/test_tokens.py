"""Tokens: who they speak for, and which are refused with which code."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode
from server.auth.keys import Keys, OneKey, derived
from server.auth.options import Options
from server.auth.policy import GRANTS
from server.auth.principal import Kind, Principal, Role, Scope, Tier
from server.auth.signatures import Key, published_key
from server.auth.tokens import TokenRefused, Tokens, claim_names
from tests.support import issuer
from tests.support.issuer import NOW, SECRET, signed

VISITORS_SECRET = derived(SECRET, "visitors' tokens")
SHOP = "https://shop.example"


class Published:
    """Two keys by name, of two algorithms."""

    async def find(self, id: str | None, algorithm: str) -> Key | None:
        keys = {("r", "RS256"): "rsa", ("e", "ES256"): "ec"}
        kind = keys.get((id or "", algorithm))
        return published_key(issuer.published(kind, "k")) if kind else None


def tokens(keys: Keys | None = None, now: float = NOW, **options: Any) -> Tokens:
    development = options.pop("development", False)
    return Tokens(
        keys or OneKey.of_secret(SECRET),
        Options(**options),
        issuer="https://id.example",
        audience="chat",
        secret=SECRET,
        development=development,
        clock=lambda: now,
    )


async def refused(token: str, by: Tokens | None = None, **shown: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        await (by or tokens()).verify(token, **{"origin": None, **shown})
    return caught.value


async def accepted(token: str, by: Tokens | None = None) -> Principal:
    return await (by or tokens()).verify(token, origin=None)


async def test_a_token_speaks_for_who_its_claims_name() -> None:
    """Every claim of the contract has its place."""
    ann = await accepted(
        signed(
            aud=["other", "chat"],
            nbf=NOW,
            tenant="acme",
            roles=["curator", "chef", "admin"],
            tier="professional",
            scope="openid chat chat:model",
            features=["beta"],
            token_budget=1000,
            name="Ann",
            email="ann@acme.example",
            locale="de",
            foreign={"a": [1]},
        )
    )
    assert ann == Principal(
        tenant="acme",
        user="ann",
        kind=Kind.USER,
        roles=frozenset({Role.USER, Role.CURATOR, Role.ADMIN}),
        tier=Tier.PROFESSIONAL,
        scopes=frozenset({Scope.CHAT, Scope.CHAT_MODEL}),
        features=("beta",),
        token_budget=1000,
        name="Ann",
        email="ann@acme.example",
        locale="de",
        token_id="1",
        issued_at=NOW,
        expires_at=NOW + 3600,
    )


async def test_what_a_token_leaves_out_is_the_least() -> None:
    """The default tenant, a plain user of the smallest tier; `null` is left out too."""
    claims = {**issuer.CLAIMS, "tenant": None, "roles": None, "tier": "gold", "name": None}
    for token in (signed(), signed(claims)):
        ann = await accepted(token)
        assert (ann.tenant, ann.tier) == ("default", Tier.FREE)
        assert ann.roles == {Role.USER}
        assert ann.scopes == GRANTS[Role.USER]
        assert (ann.features, ann.site, ann.origin) == ((), None, None)


async def test_words_may_come_as_a_list_or_as_one_text() -> None:
    """Issuers differ."""
    for roles in ("operator", "chef operator", "chef,operator", ["operator"]):
        assert (await accepted(signed(roles=roles))).roles == {Role.USER, Role.OPERATOR}


@pytest.mark.parametrize("type", [None, "JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_an_access_token_is_one_by_whatever_it_is_called(type: str | None) -> None:
    """RFC 7519 and RFC 9068."""
    header: dict[str, object] = {"typ": type} if type else {}
    assert (await accepted(signed(header=header))).user == "ann"
    kinds: list[dict[str, Any]] = [
        {"typ": "Bearer"},
        {"token_use": "access"},
        {"typ": "Bearer", "nonce": "n"},
    ]
    for kind in kinds:
        assert (await accepted(signed(**kind))).user == "ann"


# T1, T2, T3: signatures.
NO_SIGNATURE = [
    pytest.param(signed().rsplit(".", 1)[0] + ".", id="none at all"),
    pytest.param(signed(key=b"x" * 32), id="of another secret"),
    pytest.param(signed(algorithm="HS512"), id="of another hash"),
    pytest.param(signed(key=VISITORS_SECRET), id="of the visitors' key"),
    *(
        pytest.param(
            f"{issuer.text(b'{%s}' % alg)}.{'.'.join(signed().split('.')[1:])}", id=alg.decode()
        )
        for alg in (
            *(b'"alg":"none"', b'"alg":"None"', b'"alg":"NONE"', b'"alg":"nOnE"', b'"alg":""'),
            *(b'"alg":null', b'"alg":["HS256"]', b'"alg":"HS256 "', b'"alg":"hs256"', b'"x":1'),
        )
    ),
    pytest.param(signed(header={"jku": "https://evil.example"}), id="jku"),
    pytest.param(signed(header={"x5u": "https://evil.example"}), id="x5u"),
    pytest.param(signed(header={"jwk": {"kty": "oct", "k": "AAAA"}}), id="jwk"),
    pytest.param(signed(header={"crit": ["exp"]}), id="crit"),
]


@pytest.mark.parametrize("token", NO_SIGNATURE)
async def test_a_token_without_our_keys_signature_is_refused(token: str) -> None:
    """T1–T3."""
    assert (await refused(token)).close is CloseCode.UNAUTHENTICATED


async def test_an_issuers_public_key_is_no_secret_to_sign_with() -> None:
    """T2: who verifies by a public key verifies nothing else. As PEM the library would not sign."""
    forged = signed(key=issuer.public_bytes("rsa", Encoding.DER), header={"kid": "r"})
    assert (await refused(forged, tokens(Published()))).close is CloseCode.UNAUTHENTICATED


async def test_each_key_verifies_its_own_algorithm_under_its_own_name() -> None:
    """T2: the token chooses neither."""
    by = tokens(Published())
    rsa: dict[str, Any] = {"key": issuer.private_pem("rsa"), "algorithm": "RS256"}
    ec: dict[str, Any] = {"key": issuer.private_pem("ec"), "algorithm": "ES256"}
    assert (await accepted(signed(header={"kid": "r"}, **rsa), by)).user == "ann"
    assert (await accepted(signed(header={"kid": "e"}, **ec), by)).user == "ann"
    for token in (
        signed(header={"kid": "e"}, **rsa),
        signed(header={"kid": "r"}, **ec),
        signed(header={"kid": "unknown"}, **rsa),
        signed(header={"kid": "../r"}, **rsa),
        signed(**rsa),
        signed(header={"kid": "r"}),
        signed(header={"kid": "r"}, key=issuer.private_pem("rsa"), algorithm="RS512"),
        signed(header={"kid": "r"}, key=issuer.private_pem("rsa-other"), algorithm="RS256"),
    ):
        assert (await refused(token, by)).close is CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("late", "close"),
    [(0, None), (30, None), (31, CloseCode.TOKEN_EXPIRED), (10_000, CloseCode.TOKEN_EXPIRED)],
)
async def test_a_token_ends_when_it_says_with_some_leeway(
    late: int, close: CloseCode | None
) -> None:
    """T4: its owner had a good one, and is told to bring a new one."""
    by = tokens(now=NOW + 3600 + late)
    if close is None:
        await accepted(signed(), by)
    else:
        assert (await refused(signed(), by)).close is close


async def test_a_token_that_is_wrong_otherwise_too_is_not_called_expired() -> None:
    """Who holds it never had a good one."""
    by = tokens(now=NOW + 10_000)
    for token in (signed(aud="other"), signed(key=b"x" * 32), signed(nonce="n")):
        assert (await refused(token, by)).close is CloseCode.UNAUTHENTICATED


# T4, T5, T6 and their kin.
WRONG_CLAIMS: list[dict[str, Any]] = [
    {"nbf": NOW + 300},
    {"nbf": NOW + 31},
    {"iat": NOW + 31},
    {"aud": "other"},
    {"aud": ["other"]},
    {"aud": []},
    {"aud": {"chat": 1}},
    {"aud": "chatter"},
    {"aud": ["chat", 5]},
    {"iss": "https://id.example/"},
    {"iss": "https://evil.example"},
    {"iss": ["https://id.example"]},
    *({name: None} for name in ("iss", "aud", "sub", "exp", "iat", "jti")),
    *({"sub": sub} for sub in (5, "", "a" * 256, "a" * 2048, "\0", "a\0b", ["ann"], True)),
    {"sub": "\ud800"},
    {"jti": 5},
    {"jti": ""},
    {"jti": "j" * 256},
    *(
        {"exp": exp}
        for exp in (1e308, float(NOW + 60), str(NOW + 60), True, -1, 0, 2**63, 2**70, [NOW])
    ),
    {"exp": NOW},
    {"exp": NOW - 1},
    {"exp": NOW + 86_401},
    {"exp": 9_999_999_999},
    {"iat": 0},
    {"iat": 0.5},
    {"iat": "0"},
    {"nbf": "0"},
    *({"tenant": tenant} for tenant in ("", "a/b", "a b", "a" * 65, "acme\n", "é", 5, "\0")),
    {"roles": 5},
    {"roles": [5]},
    {"roles": {"admin": True}},
    {"tier": 5},
    {"scope": 5},
    {"features": 5},
    {"token_budget": -1},
    {"token_budget": 1e9},
    {"token_budget": "1"},
    {"name": 5},
    {"name": "a" * 256},
    {"name": "\0"},
    {"email": "\ud800"},
    {"locale": ["de"]},
    {"typ": "ID"},
    {"typ": "Refresh"},
    {"typ": 5},
    {"token_use": "id"},
    {"token_type": "refresh"},
    {"nonce": "n"},
    {"at_hash": "h"},
    {"c_hash": "h"},
]


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=lambda changes: repr(changes)[:60])
async def test_a_claim_that_is_missing_or_wrong_refuses_the_token(changes: dict[str, Any]) -> None:
    """T4–T6: with the right signature, too."""
    assert (await refused(signed(**changes))).close is CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize("type", ["visitor+jwt", "id+jwt", "refresh+jwt", "JWE", "", "logout+jwt"])
async def test_a_token_that_calls_itself_something_else_is_refused(type: str) -> None:
    """T5: of our own secret, too; the empty type is none."""
    if type:
        refusal = await refused(signed(header={"typ": type}))
        assert refusal.close is CloseCode.UNAUTHENTICATED
    else:
        await accepted(signed(header={"typ": type}))


@pytest.mark.parametrize("payload", [[], "ann", 5, None, {"a": [[[[]]]]}, "\ud800"], ids=repr)
async def test_a_payload_that_is_no_object_of_claims_is_refused(payload: object) -> None:
    """Signed as it is."""
    if payload is None:
        assert (await refused(signed({}))).close is CloseCode.UNAUTHENTICATED
    else:
        assert (await refused(signed(payload))).close is CloseCode.UNAUTHENTICATED


async def test_a_refusal_shows_nothing_of_the_token() -> None:
    """It goes into the log."""
    for token in (signed(sub="ann@secret.example\0"), signed(aud="secret"), signed() + "secret"):
        refusal = await refused(token)
        assert "secret" not in f"{refusal} {refusal.reason}"


VALID = signed(tenant="acme", header={"kid": "k"})


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """The token with a letter changed, put in, left out or moved; or a part taken twice."""
    at = draw(st.integers(0, len(VALID) - 1))
    letter = draw(st.characters(max_codepoint=0x17F) | st.sampled_from("AZaz09-_.=+/ \n"))
    before, after = VALID[:at], VALID[at:]
    how = draw(st.sampled_from(["change", "insert", "drop", "cut", "swap", "bits"]))
    match how:
        case "change":
            return before + letter + after[1:]
        case "insert":
            return before + letter + after
        case "drop":
            return before + after[1:]
        case "cut":
            return before
        case "swap":
            parts = VALID.split(".")
            return ".".join(draw(st.permutations(parts)))
    part = draw(st.integers(0, 2))
    parts = VALID.split(".")
    raw = bytearray(issuer.raw(parts[part]))
    raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
    parts[part] = issuer.text(bytes(raw))
    return ".".join(parts)


@given(mutations())
async def test_any_mutation_of_a_token_is_refused(token: str) -> None:
    """Invariant 24: of its header, its payload or the text of its signature."""
    if token != VALID:
        assert (await refused(token)).close is CloseCode.UNAUTHENTICATED
    else:
        await accepted(token)


async def test_claims_may_have_the_issuers_names() -> None:
    """By name or by path; a claim that is mapped is read nowhere else."""
    by = tokens(claims="tenant=org_id, roles=realm_access.roles,name=https://x.example/name")
    claims = {
        **issuer.CLAIMS,
        "org_id": "acme",
        "tenant": "evil",
        "roles": ["admin"],
        "realm_access": {"roles": ["curator"]},
        "https://x.example/name": "Ann",
    }
    ann = await accepted(signed(claims), by)
    assert (ann.tenant, ann.name) == ("acme", "Ann")
    assert ann.roles == {Role.USER, Role.CURATOR}
    plain = await accepted(signed(tenant="evil", roles=["admin"], realm_access=5), by)
    assert plain.tenant == "default"
    assert plain.roles == {Role.USER}
    own = await accepted(by.mint(user="ann", ttl_s=60, tenant="acme", roles=[Role.ADMIN]), by)
    assert own.tenant == "acme"
    assert own.roles == {Role.USER, Role.ADMIN}


@pytest.mark.parametrize("setting", ["tenant", "=x", "tenant=", "exp=x", "iss=x", "zebra=x"])
def test_a_mapping_that_maps_nothing_is_a_fault_of_the_settings(setting: str) -> None:
    """Said with what could be mapped."""
    with pytest.raises(ValueError, match="tenant=org_id"):
        claim_names(setting)


async def test_what_this_server_mints_it_takes() -> None:
    """With everything that can be said in it."""
    by = tokens()
    token = by.mint(
        user="ann",
        ttl_s=86_400,
        tenant="acme",
        roles=[Role.OPERATOR],
        tier=Tier.STARTER,
        name="Ann",
        features=["beta"],
        scope="chat",
    )
    ann = await accepted(token, by)
    assert (ann.user, ann.tenant, ann.tier) == ("ann", "acme", Tier.STARTER)
    assert ann.roles == {Role.USER, Role.OPERATOR}
    assert (ann.name, ann.features) == ("Ann", ("beta",))
    assert ann.scopes == {Scope.CHAT}
    assert ann.expires_at == NOW + 86_400
    other = await accepted(by.mint(user="ann", ttl_s=60), by)
    assert other.token_id != ann.token_id


@pytest.mark.parametrize(
    "wrong",
    [{"ttl_s": 0}, {"ttl_s": 86_401}, {"user": ""}, {"user": "a\0"}, {"tenant": "a b"}],
    ids=str,
)
def test_no_token_is_minted_that_nobody_would_take(wrong: dict[str, Any]) -> None:
    """Better said now than at the door."""
    with pytest.raises(ValueError, match=r"token|Token"):
        tokens().mint(**{"user": "ann", "ttl_s": 60, **wrong})


def test_only_the_issuer_signs_its_tokens() -> None:
    """Public keys sign nothing; without a secret there are no visitors either."""
    by = Tokens(
        Published(),
        Options(),
        issuer="i",
        audience="a",
        secret=None,
        development=False,
    )
    with pytest.raises(ValueError, match="PARLEY_JWT_SECRET"):
        by.mint(user="ann", ttl_s=60)
    with pytest.raises(ValueError, match="secret"):
        by.mint_visitor(visitor="v", tenant="default", site=None, origin=None)


async def test_a_visitor_is_one_where_it_was_let_in() -> None:
    """From another Origin, or from none, its token is worth nothing."""
    by = tokens()
    token, expires_at = by.mint_visitor(visitor="v", tenant="acme", site="s", origin=SHOP)
    visitor = await by.verify(token, origin="https://Shop.example:443")
    assert (visitor.kind, visitor.user, visitor.tenant) == (Kind.VISITOR, "v", "acme")
    assert (visitor.site, visitor.origin, visitor.roles) == ("s", SHOP, frozenset())
    assert visitor.scopes == GRANTS[Kind.VISITOR]
    assert visitor.expires_at == expires_at == NOW + 3600
    for origin in (None, "null", "https://evil.example", "http://shop.example", f"{SHOP}."):
        refusal = await refused(token, by, origin=origin)
        assert refusal.close is CloseCode.UNAUTHENTICATED


async def test_a_visitors_token_may_live_longer_than_a_users() -> None:
    """Each kind has its own bound; no token is made that nobody would take."""
    by = tokens(token_life_s=600, visitor_life_s=3600)
    token, _ = by.mint_visitor(visitor="v", tenant="acme", site="s", origin=SHOP)
    assert (await by.verify(token, origin=SHOP)).user == "v"
    shorter = tokens(visitor_life_s=600)
    refusal = await refused(token, shorter, origin=SHOP)
    assert refusal.close is CloseCode.UNAUTHENTICATED


async def test_in_development_a_visitor_need_not_come_from_a_page() -> None:
    """And has a user's scopes."""
    by = tokens(development=True)
    token, _ = by.mint_visitor(visitor="v", tenant="default", site=None, origin=None)
    for origin in (None, "http://localhost:8000"):
        visitor = await by.verify(token, origin=origin)
        assert visitor.scopes == GRANTS[Role.USER]


async def test_a_visitors_token_is_not_taken_for_a_users() -> None:
    """T5: nor where a host signs as if it were us."""
    by = tokens()
    token, _ = by.mint_visitor(visitor="v", tenant="default", site=None, origin=None)
    claims = {**issuer.CLAIMS, "iss": "parley", "aud": "parley"}
    await refused(signed(claims, header={"typ": "visitor+jwt"}), by)
    elsewhere = Tokens(
        OneKey.of_secret(SECRET),
        Options(),
        issuer="parley",
        audience="parley",
        secret=b"another secret of thirty-two byte",
        development=True,
        clock=lambda: NOW,
    )
    await refused(token, elsewhere)


async def test_claims_of_a_visitor_in_a_users_token_mean_nothing() -> None:
    """A host's `site` or `origin` is the host's, of whatever type."""
    for value in ("https://shop.example", 5):
        ann = await accepted(signed(site=value, origin=value))
        assert (ann.kind, ann.site, ann.origin) == (Kind.USER, None, None)


async def test_a_visitors_token_says_nothing_but_who_and_where() -> None:
    """T11: a visitor with roles, a tier or a name can only be our own fault, and gets none."""
    by = tokens()
    claims = {
        **issuer.CLAIMS,
        "iss": "parley",
        "aud": "parley",
        "sub": "v",
        "roles": ["admin"],
        "scope": "admin",
    }
    token = signed(claims, key=VISITORS_SECRET, header={"typ": "visitor+jwt"})
    visitor = await accepted(token, by)
    assert visitor.roles == frozenset()
    assert visitor.scopes == GRANTS[Kind.VISITOR]
