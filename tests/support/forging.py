"""Tokens as an attacker makes them: by hand, from recipes that are data.

What a recipe may say stands in the README of the vectors. No library for tokens is used, for it
would refuse to make what a server has to refuse to take.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support import issuer
from tests.support.vectors import Row, part_bytes

SECRET = "a secret for the hostile suite, of 64 characters; it signs users"
PUBLISHED_SECRET = b"a secret that an issuer has published by mistake"
HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def key_set() -> dict[str, Any]:
    """What our issuer publishes: two good keys, and some that no server may use."""
    secret = {"kty": "oct", "kid": "oct-1", "k": issuer.text(PUBLISHED_SECRET), "alg": "HS256"}
    return {
        "keys": [
            issuer.published("rsa", "rsa-1"),
            issuer.published("ec", "ec-1"),
            issuer.published("ec-384", "ec-384"),
            issuer.published("rsa-small", "rsa-small"),
            issuer.published("rsa", "rsa-enc", use="enc"),
            secret,
        ]
    }


def attackers_jwk() -> dict[str, Any]:
    """The public key of an attacker, as their tokens bring it along."""
    return issuer.published("rsa-other", "evil")


# By the name in a recipe: the algorithm that is natural to it, and what signs. Text and bytes are
# secrets of HMAC.
def _keys() -> dict[str, tuple[str, Any]]:
    public = issuer.public_pem("rsa")
    der = issuer.public_bytes("rsa", Encoding.DER)
    modulus = str(issuer.published("rsa", "")["n"])
    return {
        "ours": ("HS256", SECRET.encode()),
        "empty": ("HS256", b""),
        "guess": ("HS256", b"secret"),
        "published": ("HS256", PUBLISHED_SECRET),
        "public pem": ("HS256", public.encode()),
        "public pem stripped": ("HS256", public.strip().encode()),
        "public der": ("HS256", der),
        "public base64": ("HS256", issuer.text(der).encode()),
        "public jwk": ("HS256", json.dumps(issuer.published("rsa", "rsa-1")).encode()),
        "modulus": ("HS256", issuer.raw(modulus)),
        "public ec pem": ("HS256", issuer.public_pem("ec").encode()),
        "rsa": ("RS256", issuer.private_key("rsa")),
        "rsa small": ("RS256", issuer.private_key("rsa-small")),
        "ec": ("ES256", issuer.private_key("ec")),
        "ec 384": ("ES256", issuer.private_key("ec-384")),
        "attacker rsa": ("RS256", issuer.private_key("rsa-other")),
        "attacker ec": ("ES256", issuer.private_key("ec-other")),
        "nobody": ("none", None),
    }


_NAMES = {"rsa": "rsa-1", "ec": "ec-1"}


class Forge:
    """Makes tokens, and remembers their texts: none may stand in a log."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._keys = _keys()

    def good(self, user: str, *, tenant: str = "default", **claims: Any) -> str:
        """A token that our server takes."""
        return self.token({"claims": {"tenant": tenant, **claims}}, user)

    def token(self, recipe: Row, user: str) -> str:
        """The token of a recipe, for this user unless it says otherwise."""
        if "raw" in recipe:
            whole = b"".join(part_bytes(piece) for piece in recipe["raw"]).decode()
        else:
            signed = self._signed(recipe, user)
            other = self._signed({}, "somebody")
            parts = [_part(part, signed, other) for part in recipe.get("parts", [0, 1, 2])]
            for index, added in recipe.get("add", {}).items():
                parts[int(index)] += added
            if "flip" in recipe:
                part, index = recipe["flip"]
                parts[part] = flipped(parts[part], index)
            before, behind = recipe.get("around", ["", ""])
            whole = before + ".".join(parts) + behind
        self.made.append(whole)
        return whole

    def _signed(self, recipe: Row, user: str) -> list[str]:
        name = recipe.get("key", "ours")
        algorithm, key = self._keys[name]
        header = {"alg": algorithm, "typ": "JWT"}
        header |= {"kid": _NAMES[name]} if name in _NAMES else {}
        header |= recipe.get("header", {})
        for left_out in recipe.get("header_without", []):
            header.pop(left_out)
        head = recipe.get("raw_header") or json.dumps(header)
        body = f"{issuer.text(head.encode())}.{issuer.text(_payload(recipe, user))}"
        signature = signature_of(recipe.get("signed", algorithm), key, body.encode())
        return [*body.split("."), issuer.text(signature)]


def flipped(part: str, index: int) -> str:
    """With one character another: the one whose lowest bit differs."""
    letters = list(part)
    letters[index] = BASE64URL[BASE64URL.index(letters[index]) ^ 1]
    return "".join(letters)


def signature_of(algorithm: str, key: Any, body: bytes) -> bytes:
    """By hand, also where the algorithm does not fit the key."""
    if key is None:
        return b""
    digest = algorithm[2:5]
    if isinstance(key, bytes):
        return hmac.digest(key, body, getattr(hashlib, f"sha{digest}"))
    hashed = HASHES[digest]()
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm.startswith("PS"):
            salted = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
            return key.sign(body, salted, hashed)
        return key.sign(body, padding.PKCS1v15(), hashed)
    signature: bytes = key.sign(body, ec.ECDSA(hashed))
    if algorithm.endswith("DER"):
        return signature
    size = (key.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))


def _payload(recipe: Row, user: str) -> bytes:
    if "payload" in recipe:
        return str(recipe["payload"]).encode()
    if "payload_hex" in recipe:
        return bytes.fromhex(recipe["payload_hex"])
    now = int(time.time())
    claims = {
        "iss": "parley",
        "aud": "parley",
        "sub": user,
        "jti": str(uuid4()),
        "iat": now,
        "exp": now + 3600,
        **{name: _dated(claim, now) for name, claim in recipe.get("claims", {}).items()},
    }
    for name in recipe.get("without", []):
        del claims[name]
    # A claim said twice: the recipe's own text comes first.
    first = str(recipe.get("payload_from", "{}")).removesuffix("}")
    joint = "," if first != "{" else ""
    return (first + joint + json.dumps(claims).removeprefix("{")).encode()


def _dated(claim: Any, now: int) -> Any:
    """A date may be said by its distance from now."""
    if isinstance(claim, dict) and claim.keys() == {"now"}:
        return now + claim["now"]
    return claim


def _part(part: Any, signed: list[str], other: list[str]) -> str:
    """One of the token's own by its number, another's, or a text as it stands."""
    if isinstance(part, int):
        return signed[part]
    if isinstance(part, dict) and "other" in part:
        return other[part["other"]]
    if isinstance(part, dict):
        return signed[part["of"]][: part["to"]]
    return str(part)
