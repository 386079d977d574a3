"""From bytes to messages, without a socket."""

import logging
import sys

import pytest

from server.net.options import Options
from server.net.reading import SLICE_BYTES, Event, Pong, Reader
from tests.support import vectors
from tests.support.rawsocket import BINARY, CONT, PING, PONG, TEXT, closing, masked

ROWS = [
    pytest.param(row, id=f"{row['class']} {row['name']}")
    for row in vectors.rows("refusals")
    if row["layer"] == "socket" and "wire" in row
]


def read(reader: Reader, *pieces: bytes) -> list[Event]:
    """All that the pieces complete, each read by itself."""
    return [event for piece in pieces for event in reader.read(piece, 0.0)]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("row", ROWS)
def test_hostile_bytes_end_with_the_listed_code(row: vectors.Row, size: int) -> None:
    """Whole or in any pieces."""
    reader = Reader(Options(frames_per_s=10**6, bytes_per_s=10**9))
    raw = b"".join(vectors.part_bytes(piece) for piece in row["wire"])
    read(reader, *(raw[start : start + size] for start in range(0, len(raw), size)))
    assert reader.ended
    assert reader.code == row["expect"]["close"]


def test_messages_come_whole_whatever_their_pieces() -> None:
    """Frames cut anywhere, fragments with a ping between them, text and binary."""
    raw = b"".join(
        [
            masked(TEXT, "ä".encode()[:1], fin=False),
            masked(PING, b"p"),
            masked(CONT, "ä".encode()[1:] + b"b"),
            masked(BINARY, b"\xff\x00"),
            masked(PONG, b"q"),
            masked(TEXT),
        ]
    )
    expected = ["äb", b"\xff\x00", Pong(b"q"), ""]
    for size in (1, 2, 3, len(raw)):
        reader = Reader(Options())
        pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
        assert read(reader, *pieces) == expected
        assert reader.replies() == [b"\x8a\x01p"]
        assert not reader.ended


def test_what_came_before_a_fault_counts() -> None:
    """A message is not lost for what came behind it in the same segment."""
    reader = Reader(Options())
    assert read(reader, masked(TEXT, b"a") + b"\xff\xff") == ["a"]
    assert (reader.ended, reader.code) == (True, 1002)


def test_nothing_after_a_fault_or_a_close_counts() -> None:
    """What follows is neither parsed nor kept."""
    for last in (closing(1000), masked(TEXT, b"\xff")):
        reader = Reader(Options())
        assert read(reader, last + masked(TEXT, b"a"), masked(TEXT, b"b")) == []
        assert reader.ended


def test_the_largest_message_is_one_byte_smaller_than_the_smallest_refused() -> None:
    """In one frame or in fragments (F5)."""
    for first in (65536, 65535, 1):
        for excess in (0, 1):
            second = 65536 - first + excess
            reader = Reader(Options())
            events = read(
                reader,
                masked(BINARY, b"x" * first, fin=False),
                masked(CONT, b"x" * second),
            )
            assert [len(event) for event in events if isinstance(event, bytes)] == (
                [65536] if not excess else []
            )
            assert reader.ended == bool(excess)


def test_endless_empty_fragments_do_not_pile_up() -> None:
    """They are joined as they come, and counted as frames."""
    reader = Reader(Options(frames_per_s=10**6))
    read(reader, masked(TEXT, b"a", fin=False))
    read(reader, *[masked(CONT, fin=False) * 1000] * 10)
    assert reader._fragments is not None
    assert sys.getsizeof(reader._fragments) < 200
    strict = Reader(Options())
    read(strict, masked(TEXT, b"a", fin=False), masked(CONT, fin=False) * 1000)
    assert (strict.ended, strict.code) == (True, 4007)


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_a_flood_of_control_frames_ends_the_exchange(opcode: int) -> None:
    """With 4007: a client of ours sends hardly any."""
    reader = Reader(Options())
    read(reader, masked(opcode) * 100)
    assert not reader.ended
    read(reader, masked(opcode))
    assert (reader.ended, reader.code) == (True, 4007)


def test_a_flood_of_bytes_ends_the_exchange() -> None:
    """Before it is parsed."""
    reader = Reader(Options(bytes_per_s=100_000))
    assert read(reader, masked(BINARY, b"x" * 50_000)) == [b"x" * 50_000]
    assert read(reader, masked(BINARY, b"x" * 50_000)) == []
    assert (reader.ended, reader.code) == (True, 4007)


def test_a_read_full_of_frames_is_given_up_soon() -> None:
    """Only the slice in which they become too many is parsed, not all of 256 KiB."""
    reader = Reader(Options())
    assert len(read(reader, masked(TEXT) * (2**18 // 6))) == 1000
    assert SLICE_BYTES <= 4096


def test_no_message_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG the library underneath would show every frame."""
    with caplog.at_level(logging.DEBUG):
        reader = Reader(Options())
        read(reader, masked(TEXT, b"secret"), masked(TEXT, b"secret\xff"))
    assert caplog.records == []
