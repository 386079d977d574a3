"""Tokens: from a signed text to a principal, and back.

A token is one of two kinds, told apart by its header's type and by keys that fit no other kind:
a user's, which the host's issuer signs (or this server, with the host's secret), and a visitor's,
which only this server signs.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeAlias
from uuid import uuid4

import msgspec
from msgspec import Meta

from protocol.codes import CloseCode
from protocol.text import well_formed
from protocol.types import MAX_SAFE_INTEGER, Count, Guarded, Id, UserId
from server.auth.doors import normal_origin
from server.auth.keys import Keys, OneKey, derived
from server.auth.options import Options
from server.auth.policy import scopes_of
from server.auth.principal import DEFAULT_TENANT, Kind, Principal, Role, Tier
from server.auth.signatures import Envelope, Key, Unreadable, opened
from storage.values import Owner

VISITOR_ISSUER = "parley"
VISITOR_AUDIENCE = "parley"
_USER_TYPES = frozenset({"jwt", "at+jwt"})  # RFC 7519, 5.1; RFC 9068, 2.1
_VISITOR_TYPE = "visitor+jwt"
# What issuers write into access tokens where they say the kind at all; into others, something else.
_KIND_CLAIMS = ("typ", "token_use", "token_type")
_ACCESS = frozenset({"access", "bearer", "jwt", "at+jwt"})
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")

_Date = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
_Text = Annotated[str, Meta(max_length=255)]
_Words: TypeAlias = str | list[str]


class TokenRefused(Exception):
    """A credential is not accepted. `reason` is for our log: a fixed sentence, nothing of a token.

    `replayed` names whose one-time credential was shown a second time, to be written down.
    """

    def __init__(self, close: CloseCode, reason: str, *, replayed: Owner | None = None) -> None:
        super().__init__(close, reason)
        self.close = close
        self.reason = reason
        self.replayed = replayed

    def __str__(self) -> str:
        return f"the credential is refused ({self.close.reason}): {self.reason}"


class _Claims(Guarded, frozen=True, kw_only=True):
    """The claims we read. Any other is nobody's business, a claim of a wrong type refuses all."""

    sub: UserId
    iss: str
    aud: _Words
    exp: _Date
    iat: _Date
    jti: Annotated[str, Meta(min_length=1, max_length=255)]
    nbf: _Date | None = None
    tenant: Id = DEFAULT_TENANT
    roles: _Words = ""
    tier: str | None = None
    scope: _Words = ""
    features: _Words = ""
    token_budget: Count | None = None
    name: _Text | None = None
    email: _Text | None = None
    locale: _Text | None = None
    site: str | None = None
    origin: str | None = None


_FROM_ISSUER = frozenset(_Claims.__struct_fields__) - {"site", "origin"}  # those are a visitor's
_MAPPABLE = _FROM_ISSUER - {"iss", "aud", "exp", "iat", "nbf"}


class Tokens:
    """Verifies tokens, and makes those that this server signs."""

    def __init__(
        self,
        keys: Keys,
        options: Options,
        *,
        issuer: str,
        audience: str,
        secret: bytes | None,
        development: bool,
        clock: Callable[[], float] = time.time,
        mint_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        """`keys` are the issuer's. Without our own `secret` there are no visitors."""
        self._keys = keys
        self._options = options
        self._issuer = issuer
        self._audience = audience
        self._visitors = OneKey.of_secret(derived(secret, "visitors' tokens")) if secret else None
        self._development = development
        self._clock = clock
        self._mint_id = mint_id
        self._names = claim_names(options.claims)

    async def verify(
        self, token: str, *, origin: str | None, origin_is_told: bool = True
    ) -> Principal:
        """Who the token speaks for, shown by a peer with this `Origin`; else `TokenRefused`.

        Not `origin_is_told`: a browser leaves it out where a page asks its own server like this.
        """
        try:
            envelope = opened(token)
            kind = _kind(envelope)
            key = await self._key(envelope, kind)
            payload = key.verify(token)
        except Unreadable as why:
            raise _unauthenticated(str(why)) from why
        claims = self._read(payload, kind)
        self._check_claims(claims, kind)
        unsaid = origin is None and not origin_is_told
        if claims.origin not in (None, normal_origin(origin)) and not unsaid:
            raise _unauthenticated("it is bound to another origin")
        # Last, for `expired` tells that the token was good once, and here.
        self._check_dates(claims)
        return self._principal(claims, kind)

    def mint(
        self,
        *,
        user: str,
        ttl_s: int,
        tenant: str = DEFAULT_TENANT,
        roles: Sequence[Role] = (Role.USER,),
        tier: Tier = Tier.FREE,
        name: str | None = None,
        features: Sequence[str] = (),
        scope: str = "",
    ) -> str:
        """A user's token; ValueError where only the issuer can sign one, or for what is no user."""
        if not isinstance(self._keys, OneKey):
            raise ValueError(
                "Tokens are signed by the configured issuer, whose private key is not here. Get one"
                " there, or configure PARLEY_JWT_SECRET instead of the issuer's public keys."
            )
        claims = {
            **self._dated(ttl_s, self._options.token_life_s),
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user,
            "tenant": tenant,
            "roles": [role.value for role in roles],
            "tier": tier.value,
            "features": list(features) or None,
            "scope": scope or None,
            "name": name,
        }
        return _signed(self._keys.key, claims, self._names, "JWT")

    def mint_visitor(
        self, *, visitor: str, tenant: str, site: str | None, origin: str | None
    ) -> tuple[str, int]:
        """A visitor's token, and when it expires; ValueError without a secret of our own."""
        if self._visitors is None:
            raise ValueError("There is no secret to sign visitors' tokens with.")
        claims = {
            **self._dated(self._options.visitor_life_s, self._options.visitor_life_s),
            "iss": VISITOR_ISSUER,
            "aud": VISITOR_AUDIENCE,
            "sub": visitor,
            "tenant": tenant,
            "site": site,
            "origin": origin,
        }
        return _signed(self._visitors.key, claims, {}, _VISITOR_TYPE), int(str(claims["exp"]))

    async def _key(self, envelope: Envelope, kind: Kind) -> Key:
        keys = self._keys if kind is Kind.USER else self._visitors
        key = await keys.find(envelope.key, envelope.algorithm) if keys is not None else None
        if key is None or key.algorithm != envelope.algorithm:
            raise Unreadable("no key of ours has its name and algorithm")
        return key

    def _read(self, payload: bytes, kind: Kind) -> _Claims:
        try:
            given = msgspec.json.decode(payload, type=dict[str, object])
            if kind is Kind.USER:
                _refuse_other_tokens(given)
                given = _renamed(given, self._names)
            claims = msgspec.convert(given, _Claims)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _unauthenticated("a claim is missing, or of a wrong type or size") from error
        texts = (claims.sub, claims.jti, claims.name, claims.email, claims.locale)
        if not all(well_formed(text) for text in texts if text):
            raise _unauthenticated("a claim is no well-formed text")
        return claims

    def _check_claims(self, claims: _Claims, kind: Kind) -> None:
        if kind is Kind.USER:
            issuer, audience, life_s = self._issuer, self._audience, self._options.token_life_s
        else:
            issuer, audience, life_s = (
                VISITOR_ISSUER,
                VISITOR_AUDIENCE,
                self._options.visitor_life_s,
            )
        if claims.iss != issuer:
            raise _unauthenticated("it is from another issuer")
        if audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise _unauthenticated("it is for another audience")
        if not 0 < claims.exp - claims.iat <= life_s:
            raise _unauthenticated("it is good for longer than a token may be, or never")

    def _check_dates(self, claims: _Claims) -> None:
        now, leeway = self._clock(), self._options.leeway_s
        if max(claims.iat, claims.nbf or 0) > now + leeway:
            raise _unauthenticated("it is not good yet")
        if claims.exp + leeway < now:
            raise TokenRefused(CloseCode.TOKEN_EXPIRED, "it expired")

    def _principal(self, claims: _Claims, kind: Kind) -> Principal:
        # Roles of the host's own are none of ours; an unknown tier is the least.
        given = set(_words(claims.roles))
        roles = frozenset({Role.USER} | {role for role in Role if role.value in given})
        asked = frozenset(_words(claims.scope))
        return Principal(
            tenant=claims.tenant,
            user=claims.sub,
            kind=kind,
            roles=roles if kind is Kind.USER else frozenset(),
            tier=next((tier for tier in Tier if tier.value == claims.tier), Tier.FREE),
            scopes=scopes_of(kind, roles, asked, development=self._development),
            features=tuple(_words(claims.features)),
            token_budget=claims.token_budget,
            name=claims.name,
            email=claims.email,
            locale=claims.locale,
            site=claims.site,
            origin=claims.origin,
            token_id=claims.jti,
            issued_at=claims.iat,
            expires_at=claims.exp,
        )

    def _dated(self, ttl_s: int, most_s: int) -> dict[str, object]:
        if not 0 < ttl_s <= most_s:
            raise ValueError(f"A token is good for 1 to {most_s} seconds, not for {ttl_s}.")
        now = int(self._clock())
        return {"iat": now, "exp": now + ttl_s, "jti": self._mint_id()}


def claim_names(setting: str) -> dict[str, str]:
    """Our claim → the issuer's, of a setting like `tenant=org_id,roles=realm_access.roles`."""
    names: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not equals or not theirs or ours not in _MAPPABLE:
            raise ValueError(
                f"`{pair}` maps no claim. Write `ours=theirs`, with ours one of"
                f" {', '.join(sorted(_MAPPABLE))}; for example `tenant=org_id`."
            )
        names[ours] = theirs
    return names


def _kind(envelope: Envelope) -> Kind:
    type = (envelope.type or "JWT").lower().removeprefix("application/")
    if type == _VISITOR_TYPE:
        return Kind.VISITOR
    if type in _USER_TYPES:
        return Kind.USER
    raise Unreadable("it is of no type that is taken here")


def _refuse_other_tokens(given: Mapping[str, object]) -> None:
    """An id token tells a client who signed in, a refresh token renews: neither lets anybody in."""
    said = [given[name] for name in _KIND_CLAIMS if given.get(name) is not None]
    if any(not isinstance(kind, str) or kind.lower() not in _ACCESS for kind in said):
        raise _unauthenticated("it is no access token")
    if not said and any(name in given for name in _ID_TOKEN_CLAIMS):
        raise _unauthenticated("it is an id token")


def _renamed(given: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """With our names. A claim that is mapped is read nowhere else; `null` is absent."""
    renamed = {name: given.get(name) for name in _FROM_ISSUER}
    renamed |= {ours: _at(given, theirs) for ours, theirs in names.items()}
    return {name: value for name, value in renamed.items() if value is not None}


def _at(given: Mapping[str, object], path: str) -> object:
    """The claim of that name, or where a path of names leads."""
    if path in given:
        return given[path]
    found: object = given
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _words(value: _Words) -> list[str]:
    return re.findall(r"[^ ,]+", value) if isinstance(value, str) else value


def _signed(key: Key, claims: Mapping[str, object], names: Mapping[str, str], type: str) -> str:
    """Checked as it will be when it is shown, so that no token is made which nobody takes."""
    given = {name: value for name, value in claims.items() if value is not None}
    try:
        read = msgspec.convert(given, _Claims)
    except msgspec.ValidationError as error:
        raise ValueError(f"There can be no such token: {error}") from error
    if not well_formed(read.sub):
        raise ValueError("There can be no such token: `sub` is no well-formed text")
    named = {names.get(name, name): value for name, value in given.items()}
    return key.sign(msgspec.json.encode(named), type=type)


def _unauthenticated(reason: str) -> TokenRefused:
    return TokenRefused(CloseCode.UNAUTHENTICATED, reason)
