"""Signed tokens as bytes: the only module that knows the library which makes and verifies them.

The library is lenient where we may not be, so nothing is left to it but the arithmetic: what a
token looks like is checked before it sees one, and it gets one key with the one algorithm that the
key was loaded for. A token never chooses either. Claims are `tokens`' business.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jose import jwk, jws  # type: ignore[import-untyped]
from msgspec import Struct

TOKEN_CHARS = 8192
SECRET_BYTES = 32  # RFC 7518, 3.2: at least as long as the hash
RSA_BITS = 2048  # RFC 7518, 3.3

_PART = r"[A-Za-z0-9_-]+"
_SHAPE = re.compile(rf"({_PART})\.({_PART})\.({_PART})", re.ASCII)
# A token that brings or names its own key, or demands what we do not know (ASVS 9.1.3).
_REFUSED_HEADERS = ("jku", "x5u", "jwk", "x5c", "crit")


class Unreadable(Exception):
    """The bytes are no token, or not signed by that key; a fixed sentence, nothing of the token."""


class KeyUnfit(Exception):
    """A key cannot be used; says why and what would be one."""


class Key:
    """What verifies, and may make, the signatures of one algorithm."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, algorithm: str, key: Any) -> None:
        self.algorithm = algorithm
        self._key = key

    def verify(self, token: str) -> bytes:
        """The payload, if this key signed it; else `Unreadable`."""
        try:
            payload: bytes = jws.verify(token, self._key, [self.algorithm])
        # Hostile bytes make the library raise from four trees.
        except Exception as error:
            raise Unreadable("the signature is not that of our key") from error
        return payload

    def sign(self, payload: bytes, *, type: str) -> str:
        """A token with this payload."""
        token: str = jws.sign(payload, self._key, {"typ": type}, self.algorithm)
        return token


def secret_key(secret: bytes) -> Key:
    """HS256 by a shared secret."""
    if len(secret) < SECRET_BYTES:
        raise KeyUnfit(
            f"The secret has {len(secret)} bytes. HS256 needs at least {SECRET_BYTES}, or it could"
            " be guessed. Make one by `openssl rand -hex 32`."
        )
    return Key("HS256", _constructed(secret, "HS256"))


def published_key(published: Mapping[str, object]) -> Key:
    """RS256 or ES256 by a key as an issuer publishes it (RFC 7517)."""
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(published.get("kty")))
    if algorithm is None or published.get("alg", algorithm) != algorithm:
        raise KeyUnfit("The key is of another type than RSA for RS256 or EC for ES256.")
    if published.get("use", "sig") != "sig" or "d" in published:
        raise KeyUnfit("The key is not a public one for signatures.")
    constructed = _constructed(dict(published), algorithm)
    _refuse_weak(constructed.prepared_key)
    return Key(algorithm, constructed)


def _refuse_weak(public: object) -> None:
    match public:
        case RSAPublicKey():
            if public.key_size < RSA_BITS:
                raise KeyUnfit(f"The RSA key has {public.key_size} bits; {RSA_BITS} are needed.")
        case EllipticCurvePublicKey(curve=SECP256R1()):
            pass
        case _:
            raise KeyUnfit("The key is neither an RSA key nor one of the curve P-256.")


def _constructed(material: object, algorithm: str) -> Any:
    try:
        return jwk.construct(material, algorithm)
    # As above: a key from outside may be anything.
    except Exception as error:
        raise KeyUnfit(f"The key cannot be used for {algorithm}.") from error


class Envelope(Struct, frozen=True):
    """What a token says about itself, unverified: good for finding a key, for nothing else."""

    algorithm: str
    key: str | None
    type: str | None


def opened(token: str) -> Envelope:
    """Look at a token's outside, before anything of it is decoded by others; else `Unreadable`."""
    shape = _SHAPE.fullmatch(token) if len(token) <= TOKEN_CHARS else None
    if shape is None:
        raise Unreadable("it is not three parts of base64url of at most 8 KiB")
    header, _, _ = (_decoded(part) for part in shape.groups())
    try:
        fields = msgspec.json.decode(header, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unreadable("its header is no JSON object") from error
    if not fields.keys().isdisjoint(_REFUSED_HEADERS):
        raise Unreadable("its header brings a key, or demands what is not known here")
    algorithm, key, type = (fields.get(name) for name in ("alg", "kid", "typ"))
    if not isinstance(algorithm, str):
        raise Unreadable("its header names no algorithm")
    if not isinstance(key, str | None) or not isinstance(type, str | None):
        raise Unreadable("its header has a field of a wrong type")
    return Envelope(algorithm, key, type)


def _decoded(part: str) -> bytes:
    """Strict base64url. Text that differs but decodes alike would be the same token twice."""
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise Unreadable("a part of it is no base64url") from error
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise Unreadable("a part of it is no canonical base64url")
    return raw
