"""The bytes of frames, as the websockets library would write them."""

import pytest
from websockets.frames import Frame, Opcode

from server.net.framing import framed, pinged


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 300_000])
@pytest.mark.parametrize("binary", [False, True])
def test_a_message_is_one_unmasked_frame(length: int, binary: bool) -> None:
    """Each of the three forms of a length begins and ends where RFC 6455 says."""
    payload = b"x" * length
    frame = Frame(Opcode.BINARY if binary else Opcode.TEXT, payload)
    assert framed(payload, binary=binary) == frame.serialize(mask=False)


def test_a_ping_carries_its_payload() -> None:
    """So that its pong can be told from any other."""
    assert pinged(b"1234") == Frame(Opcode.PING, b"1234").serialize(mask=False)
