"""Visitors: people whom nobody vouches for, each with a token for an hour and a way back.

The way back is a renewal secret, good for one use. The next one is reckoned from the one that was
used, so a visitor who asks again because the answer was lost gets the same next one, and so does
every tab that asked at the same time.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable

from msgspec import Struct

from protocol.codes import ErrorCode
from server.auth.doors import normal_origin
from server.auth.keys import derived
from server.auth.options import Options
from server.auth.principal import DEFAULT_TENANT
from server.auth.tokens import Tokens
from server.errors import ChatError
from storage.accounts import NewRenewal, Rotation, User, UserKind
from storage.store import Accounts, Renewals

ID_BYTES = 16
SECRET_BYTES = 32
_SHAPE = re.compile(r"(?P<family>[0-9a-f]{32})\.[A-Za-z0-9_-]{43}", re.ASCII)


class Arrival(Struct, frozen=True, kw_only=True):
    """What a visitor gets: a token until `expires_at` (unix seconds), and how to come back."""

    token: str
    visitor: str
    renewal: str
    expires_at: int

    def __repr__(self) -> str:
        """Show nothing that would let somebody in."""
        return f"Arrival({self.visitor!r}, expires_at={self.expires_at})"


class _Home(Struct, frozen=True):
    """Where a visitor comes from, and is bound to."""

    tenant: str
    site: str = ""
    origin: str = ""


class Visitors:
    """Lets visitors in, and in again. In development no site need be set up."""

    def __init__(
        self,
        tokens: Tokens,
        accounts: Accounts,
        renewals: Renewals,
        options: Options,
        *,
        secret: bytes | None,
        development: bool,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Without a `secret` of our own nobody can be let in."""
        self._tokens = tokens
        self._accounts = accounts
        self._renewals = renewals
        self._options = options
        self._key = derived(secret, "visitors' renewals") if secret else None
        self._development = development
        self._random = random

    async def arrive(self, site: str | None, renewal: str | None, origin: str | None) -> Arrival:
        """A token for a new visitor, or for the one whose renewal secret this is.

        `ChatError` where none is let in; the store's own errors where it is away.
        """
        if self._key is None:
            raise ChatError(
                ErrorCode.FORBIDDEN,
                "This server takes no visitors: it has no secret to sign their tokens with."
                " An operator can set PARLEY_JWT_SECRET.",
            )
        home = await self._home(site, normal_origin(origin))
        if renewal is None:
            visitor, renewal = await self._new(home)
        else:
            visitor, renewal = await self._back(home, renewal, self._key)
        token, expires_at = self._tokens.mint_visitor(
            visitor=visitor,
            tenant=home.tenant,
            site=home.site or None,
            origin=home.origin or None,
        )
        return Arrival(token=token, visitor=visitor, renewal=renewal, expires_at=expires_at)

    async def _home(self, key: str | None, origin: str | None) -> _Home:
        if key is None:
            if self._development:
                return _Home(DEFAULT_TENANT, "", origin or "")
            words = "`site` is missing: the public key of the site that the visitor is on."
            raise ChatError(ErrorCode.INVALID_FIELD, words)
        site = await self._accounts.site_by_key(key)
        tenant = await self._accounts.tenant(site.tenant) if site is not None else None
        if site is None or site.disabled or tenant is None or tenant.disabled:
            raise ChatError(ErrorCode.NOT_FOUND, "There is no site with this key.")
        # In development the doors let loopback in alone, whatever the site's own origins are.
        if not self._development and (
            origin is None or origin not in {normal_origin(one) for one in site.origins}
        ):
            words = "The Origin is not one of this site's; an operator can add it there."
            raise ChatError(ErrorCode.FORBIDDEN, words)
        return _Home(site.tenant, site.id, origin or "")

    async def _new(self, home: _Home) -> tuple[str, str]:
        visitor = f"v_{self._random(ID_BYTES).hex()}"
        family = self._random(ID_BYTES).hex()
        renewal = f"{family}.{_text(self._random(SECRET_BYTES))}"
        new = _shown(home, family, renewal, visitor)
        await self._renewals.add(new, life_ms=self._options.renewal_life_s * 1000)
        return visitor, renewal

    async def _back(self, home: _Home, renewal: str, key: bytes) -> tuple[str, str]:
        shape = _SHAPE.fullmatch(renewal)
        if shape is None:
            raise _not_good()
        family = shape["family"]
        following = f"{family}.{_text(hmac.digest(key, renewal.encode(), hashlib.sha256))}"
        rotation, found = await self._renewals.rotate(
            _shown(home, family, renewal),
            next=_hash(following),
            life_ms=self._options.renewal_life_s * 1000,
            grace_ms=self._options.renewal_grace_s * 1000,
        )
        if found is None:
            raise _not_good()
        if rotation is Rotation.REPLAYED:
            await self._shut_out(found.tenant, found.visitor)
            raise _not_good()
        return found.visitor, following

    async def _shut_out(self, tenant: str, visitor: str) -> None:
        """Somebody has a copy of a secret, and may have a token by it."""
        await self._accounts.put_user(
            User(tenant=tenant, id=visitor, kind=UserKind.VISITOR, roles=())
        )
        await self._accounts.end_sessions(tenant, visitor)


def _shown(home: _Home, family: str, renewal: str, visitor: str = "") -> NewRenewal:
    return NewRenewal(
        family=family,
        hash=_hash(renewal),
        tenant=home.tenant,
        visitor=visitor,
        site=home.site,
        origin=home.origin,
    )


def _hash(renewal: str) -> str:
    # 256 bits of chance need no slow hash.
    return hashlib.sha256(renewal.encode()).hexdigest()


def _text(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _not_good() -> ChatError:
    words = "This renewal secret is not good any more; ask without it to come as a new visitor."
    return ChatError(ErrorCode.UNAUTHENTICATED, words)
