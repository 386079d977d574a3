"""A host's issuer, as tests need it: keys of every kind, and tokens that are wrong in one way."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jose import jws  # type: ignore[import-untyped]

NOW = 1_790_000_000
SECRET = b"a secret of thirty-two bytes, ok"
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example",
    "aud": "chat",
    "sub": "ann",
    "iat": NOW,
    "exp": NOW + 3600,
    "jti": "1",
}


@cache
def private_key(kind: str) -> PrivateKeyTypes:
    """A key of that kind; the same each time."""
    match kind:
        case "rsa" | "rsa-other":
            return rsa.generate_private_key(65537, 2048)
        case "rsa-small":
            return rsa.generate_private_key(65537, 1024)
        case "ec" | "ec-other":
            return ec.generate_private_key(ec.SECP256R1())
    assert kind == "ec-384"
    return ec.generate_private_key(ec.SECP384R1())


def private_pem(kind: str) -> str:
    """As the issuer keeps it."""
    return (
        private_key(kind)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public_bytes(kind: str, encoding: serialization.Encoding) -> bytes:
    """As the issuer gives it away."""
    public = private_key(kind).public_key()
    return public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_pem(kind: str) -> str:
    """The same as text."""
    return public_bytes(kind, serialization.Encoding.PEM).decode()


def published(kind: str, id: str, **more: object) -> dict[str, object]:
    """As it stands in the issuer's JWK set."""
    key = private_key(kind)
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_numbers()
        size = key.key_size // 8
        return {"kty": "RSA", "kid": id, "n": number(public.n, size), "e": "AQAB", **more}
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    size = (key.key_size + 7) // 8
    point = key.public_key().public_numbers()
    x, y = number(point.x, size), number(point.y, size)
    return {"kty": "EC", "kid": id, "crv": f"P-{key.key_size}", "x": x, "y": y, **more}


def number(value: int, size: int) -> str:
    """Base64url of so many bytes."""
    return text(value.to_bytes(size, "big"))


def text(raw: bytes) -> str:
    """Base64url."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(part: str) -> bytes:
    """What base64url stands for."""
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed(
    claims: object = None,
    *,
    key: str | bytes = SECRET,
    algorithm: str = "HS256",
    header: dict[str, object] | None = None,
    **changes: object,
) -> str:
    """A token of these claims; a change to None leaves the claim out."""
    if claims is None:
        given = {**CLAIMS, **changes}
        claims = {name: value for name, value in given.items() if value is not None}
    payload = json.dumps(claims).encode()
    token: str = jws.sign(payload, key, header or {}, algorithm)
    return token
