"""Which requests for an upgrade are none."""

import pytest

from server.errors import ChatError
from server.net.handshake import SUBPROTOCOL_BYTES, SUBPROTOCOLS, Handshake, read
from tests.support.rawsocket import KEY

VERSION = (b"sec-websocket-version", b"13")
GOOD_KEY = (b"sec-websocket-key", KEY.encode())
OFFER = b"sec-websocket-protocol"


def refused(
    *headers: tuple[bytes, bytes], method: bytes = b"GET", version: str = "1.1"
) -> ChatError:
    """The refusal of a handshake with these headers."""
    with pytest.raises(ChatError) as caught:
        read(method, version, headers)
    return caught.value


def test_a_handshake_names_its_key_and_its_subprotocols() -> None:
    """Over several headers too, in the client's order."""
    headers = [VERSION, GOOD_KEY, (OFFER, b"a, b"), (OFFER, b"parley.v1.json")]
    assert read(b"GET", "1.1", headers) == Handshake(KEY, ["a", "b", "parley.v1.json"])
    assert read(b"GET", "1.1", [VERSION, GOOD_KEY]).subprotocols == []


@pytest.mark.parametrize("versions", [[], [b"8"], [b"13", b"13"], [b"13, 8"], [b"014"]])
def test_another_version_is_told_the_right_one(versions: list[bytes]) -> None:
    """426, which names 13 (H6)."""
    refusal = refused(GOOD_KEY, *((b"sec-websocket-version", version) for version in versions))
    assert refusal.status == 426
    assert refusal.headers == {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize(
    "keys", [[], [b""], [b"c2hvcnQ="], [b"!" * 24], [b"\xff" * 24], [KEY.encode()] * 2]
)
def test_a_key_is_sixteen_bytes_once(keys: list[bytes]) -> None:
    """400 if it is missing, short, no base64 or there twice (H6)."""
    headers = ((b"sec-websocket-key", key) for key in keys)
    assert refused(VERSION, *headers).status == 400


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b", ".join([b"a"] * (SUBPROTOCOLS + 1)), id="too many"),
        pytest.param(b"a" * (SUBPROTOCOL_BYTES + 1), id="too long"),
        pytest.param(b"a" * 8192, id="8 KiB"),
        pytest.param(b"parley.v1.json, eyJ0." + b"secret" * 20 + b".sig", id="a token"),
        pytest.param(b"secret secret", id="no name"),
        pytest.param(b"", id="empty"),
        pytest.param(b"a,,b", id="an empty one"),
        pytest.param(b"caf\xe9", id="not ASCII"),
    ],
)
def test_subprotocols_are_a_few_short_names(value: bytes) -> None:
    """400 for anything else, and nothing of it comes back (H8)."""
    refusal = refused(VERSION, GOOD_KEY, (OFFER, value))
    assert refusal.status == 400
    assert "secret" not in str(refusal)


def test_a_handshake_is_a_get_without_a_body() -> None:
    """What follows its head would else be read as frames by one and as a body by another."""
    assert refused(VERSION, GOOD_KEY, method=b"POST").status == 400
    assert refused(VERSION, GOOD_KEY, version="1.0").status == 400
    assert refused(VERSION, GOOD_KEY, (b"content-length", b"3")).status == 400
    assert refused(VERSION, GOOD_KEY, (b"transfer-encoding", b"chunked")).status == 400
