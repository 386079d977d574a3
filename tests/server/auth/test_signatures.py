"""Signed tokens as bytes, and the keys that fit them."""

import ast
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from server.auth.signatures import (
    KeyUnfit,
    Unreadable,
    opened,
    published_key,
    secret_key,
)
from tests.support import issuer

ROOT = Path(__file__).parents[3]


def test_one_module_alone_knows_the_library() -> None:
    """Another library would be one file away."""
    importers = []
    for path in sorted((ROOT / "server").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "jose" for name in names):
                importers.append(path.relative_to(ROOT).as_posix())
    assert importers == ["server/auth/signatures.py"]


def test_the_library_with_the_flaw_is_installed_and_never_loaded() -> None:
    """`ecdsa` (CVE-2024-23342) comes with python-jose, whose other backend needs none of it."""
    code = (
        "import sys, server.auth.signatures as s\n"
        f"s.published_key({issuer.published('ec', 'k')!r})\n"
        "assert 'ecdsa' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_published_key_verifies_one_algorithm(kind: str) -> None:
    """Whether or not it says which; another's signature it does not."""
    algorithm = {"rsa": "RS256", "ec": "ES256"}[kind]
    token = issuer.signed(key=issuer.private_pem(kind), algorithm=algorithm)
    other = issuer.signed(key=issuer.private_pem(f"{kind}-other"), algorithm=algorithm)
    for key in (
        published_key(issuer.published(kind, "k")),
        published_key(issuer.published(kind, "k", use="sig", alg=algorithm)),
    ):
        assert key.algorithm == algorithm
        assert key.verify(token).startswith(b"{")
        with pytest.raises(Unreadable):
            key.verify(other)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "OKP"},
        {"kty": None},
        {"kty": 5},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "RS512"},
        {"use": "enc"},
        {"d": "AQAB"},
        {"n": ""},
        {"n": 5},
        {"n": "AQAB"},
        {"n": "!!"},
        {"n": "Ж"},
        {"n": None},
        {"e": "AA"},
        {"e": []},
    ],
    ids=str,
)
def test_a_published_key_that_fits_no_token_of_ours_is_refused(change: dict[str, object]) -> None:
    """Whatever an issuer's document holds, it is one error."""
    with pytest.raises(KeyUnfit):
        published_key(issuer.published("rsa", "k", **change))


def test_a_published_key_of_another_curve_or_off_its_curve_is_refused() -> None:
    """It could never verify, or verify what it must not."""
    for key in (
        issuer.published("ec-384", "k"),
        issuer.published("ec", "k", crv="P-384"),
        issuer.published("ec", "k", x=issuer.number(5, 32)),
        issuer.published("rsa-small", "k"),
    ):
        with pytest.raises(KeyUnfit):
            published_key(key)


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 31])
def test_a_secret_that_could_be_guessed_is_refused(secret: bytes) -> None:
    """The library would take an empty one."""
    with pytest.raises(KeyUnfit, match="openssl rand"):
        secret_key(secret)


def test_a_public_key_is_no_secret() -> None:
    """Who has it could sign; as DER the library takes it, and nothing here ever hands it over."""
    with pytest.raises(KeyUnfit):
        secret_key(issuer.public_pem("rsa").encode())
    der = issuer.public_bytes("rsa", Encoding.DER)
    forged = issuer.signed(key=der, algorithm="HS256")
    with pytest.raises(Unreadable):
        published_key(issuer.published("rsa", "k")).verify(forged)


GOOD = issuer.signed(header={"kid": "k"})
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


def with_header(header: bytes) -> str:
    return ".".join([issuer.text(header), PAYLOAD, SIGNATURE])


NESTED = b"[" * 2000 + b"]" * 2000


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        HEADER,
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}.{PAYLOAD}.",
        f"{HEADER}..{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
        f"{GOOD}\n",
        f" {GOOD}",
        f"{GOOD}=",
        f"{GOOD}AA=",
        GOOD.replace("_", "/") if "_" in GOOD else f"{GOOD}/",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}é",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}\ud800",
        f"{HEADER}.{PAYLOAD}.A",
        f"Bearer {GOOD}",
        "A" * 100_000,
        f"{HEADER}.{'A' * 100_000}.{SIGNATURE}",
        with_header(b""),
        with_header(b"null"),
        with_header(b"[]"),
        with_header(b"{}"),
        with_header(b'{"alg":5}'),
        with_header(b'{"alg":"HS256","kid":5}'),
        with_header(b'{"alg":"HS256","typ":[]}'),
        with_header(b'{"alg":"HS256"'),
        with_header(b'{"alg":"HS256"}{}'),
        with_header(b'{"alg":"HS256\xff"}'),
        with_header(b'{"alg":"\\ud800"}'),
        with_header(NESTED),
        with_header(b'{"alg":"HS256","x":' + NESTED + b"}"),
        with_header(b'{"alg":"HS256","jku":"https://evil.example/keys"}'),
        with_header(b'{"alg":"HS256","jku":null}'),
        with_header(b'{"alg":"HS256","x5u":"https://evil.example/cert"}'),
        with_header(b'{"alg":"HS256","x5c":["MIIB"]}'),
        with_header(b'{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}'),
        with_header(b'{"alg":"HS256","crit":["exp"]}'),
    ],
    ids=lambda token: token[:40].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_token_is_refused_before_anybody_decodes_it(token: str) -> None:
    """A JWE of five parts, a header that brings its own key, an ocean of brackets."""
    with pytest.raises(Unreadable):
        opened(token)


def test_a_token_tells_which_key_it_wants() -> None:
    """And nothing that is believed."""
    envelope = opened(GOOD)
    assert (envelope.algorithm, envelope.key, envelope.type) == ("HS256", "k", "JWT")


@given(st.text() | st.binary().map(issuer.text))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """Nothing else comes out, alone or as a part."""
    for token in (text, f"{text}.{PAYLOAD}.{SIGNATURE}", f"{HEADER}.{text}.{SIGNATURE}"):
        with suppress(Unreadable):
            opened(token)
        with pytest.raises(Unreadable):
            secret_key(issuer.SECRET).verify(token)


def test_the_unused_bits_of_a_signature_are_no_freedom() -> None:
    """32 bytes leave two bits of the last letter unused; other letters would decode alike."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [
        letter
        for letter in alphabet
        if issuer.raw(SIGNATURE[:-1] + letter) == issuer.raw(SIGNATURE)
    ]
    assert len(same) == 4
    readable = []
    for letter in same:
        try:
            opened(GOOD[:-1] + letter)
        except Unreadable:
            continue
        readable.append(letter)
    assert readable == [SIGNATURE[-1]]
