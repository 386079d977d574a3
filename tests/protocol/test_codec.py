"""Bytes to frames and back: exact in both encodings, and a value for whatever arrives."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from protocol.codec import (
    CODECS,
    JSON,
    MESSAGE_CHARACTERS,
    MSGPACK,
    Codec,
    Fatal,
    Refusal,
    Unknown,
    _classify,
    negotiate,
)
from protocol.codes import CloseCode, ErrorCode
from protocol.frames.from_client import AnyClientFrame, Ping
from protocol.frames.from_server import Logged, Pong, ServerFrame
from protocol.limits import CLIENT_FRAME_BYTES, GREETING_FRAME_BYTES, SERVER_FRAME_BYTES
from protocol.text import well_formed
from protocol.types import ID_PATTERN
from tests.support.frames import client_frame, server_frame
from tests.support.vectors import ENCODINGS, Message, Row, hostile, messages, rows, spell

BOTH = pytest.mark.parametrize("codec", CODECS.values(), ids=repr)
VECTORS = pytest.mark.parametrize(
    "row", rows("encodings"), ids=lambda row: f"{row['direction']} {row['name']}"
)


def read(codec: Codec, direction: str, message: Message) -> Any:
    """A message as its receiver reads it."""
    if direction == "server":
        return codec.decode_server(message)
    return codec.decode_client(message, CLIENT_FRAME_BYTES)


def written(row: Row, name: str) -> Message:
    """A vector's exact message in one encoding."""
    text = str(row[name])
    return bytes.fromhex(text) if name == "msgpack" else text


def sent(codec: Codec, frame: ServerFrame | AnyClientFrame) -> Message:
    """A frame as the socket carries it."""
    raw = codec.encode(frame)
    return raw if codec.binary else raw.decode()


@VECTORS
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_vector_is_read_and_written_to_the_byte(row: Row, name: str) -> None:
    """What is read from the bytes gives the same bytes again."""
    codec, message = ENCODINGS[name], written(row, name)
    frame = read(codec, row["direction"], message)
    assert not isinstance(frame, Refusal | Fatal | Unknown)
    assert sent(codec, frame) == message


@VECTORS
def test_a_vector_means_the_same_in_both_encodings(row: Row) -> None:
    """One object, whichever way it travels, and it is the one that the vector shows."""
    frames = [read(ENCODINGS[name], row["direction"], written(row, name)) for name in ENCODINGS]
    assert frames[0] == frames[1]
    assert json.loads(row["json"]) == row["frame"]
    assert msgspec.msgpack.decode(bytes.fromhex(row["msgpack"])) == row["frame"]


@VECTORS
def test_other_spellings_of_a_vector_are_the_same_frame(row: Row) -> None:
    """Order, white space, escapes, wider numbers, and defaults that are spelt out."""
    for name, texts in row.get("equal", {}).items():
        for text in texts:
            frame = read(ENCODINGS[name], row["direction"], written({name: text}, name))
            assert frame == read(JSON, row["direction"], row["json"])


@pytest.mark.parametrize(
    "row",
    [row for row in rows("encodings") if "stamped" in row],
    ids=lambda row: str(row["name"]),
)
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_stored_body_is_stamped_without_being_read(row: Row, name: str) -> None:
    """The bytes of the vectors, and the same frame but for its `seq`."""
    codec = ENCODINGS[name]
    body = written(row, name)
    raw = body if isinstance(body, bytes) else body.encode()
    for stamped in row["stamped"]:
        message = written(stamped, name)
        assert codec.stamp(raw, stamped["seq"]) == (
            message if isinstance(message, bytes) else message.encode()
        )
        frame = codec.decode_server(message)
        assert isinstance(frame, Logged)
        assert frame == msgspec.structs.replace(codec.decode_server(body), seq=stamped["seq"])


@BOTH
@given(frame=client_frame())
def test_a_clients_frame_survives_the_journey(codec: Codec, frame: Any) -> None:
    """decode(encode(x)) = x for any legal frame."""
    assert read(codec, "client", sent(codec, frame)) == frame


@BOTH
@given(frame=server_frame(), seq=st.integers(1, 2**53 - 1))
def test_a_servers_frame_survives_the_journey(codec: Codec, frame: Any, seq: int) -> None:
    """decode(encode(x)) = x, and a logged one survives being stamped."""
    assert read(codec, "server", sent(codec, frame)) == frame
    if isinstance(frame, Logged):
        body = msgspec.structs.replace(frame, seq=0)
        stamped = codec.stamp(codec.encode(body), seq)
        message = stamped if codec.binary else stamped.decode()
        assert read(codec, "server", message) == msgspec.structs.replace(frame, seq=seq)


@pytest.mark.parametrize("pairs", [1, 14, 15, 16, 300])
def test_a_stamp_widens_the_head_of_a_map(pairs: int) -> None:
    """MessagePack counts the pairs in front, in four bits or in sixteen."""
    body = {f"k{number}": number for number in range(pairs)}
    stamped = MSGPACK.stamp(msgspec.msgpack.encode(body), 7)
    assert msgspec.msgpack.decode(stamped) == {"seq": 7} | body
    assert json.loads(JSON.stamp(json.dumps(body).encode(), 7)) == {"seq": 7} | body


@pytest.mark.parametrize("row", hostile("codec"))
def test_hostile_input_is_refused_as_its_row_says(row: Row) -> None:
    """The data file's rows for this layer; the later suites send the same bytes over sockets."""
    cap = GREETING_FRAME_BYTES if row["state"] == "new" else CLIENT_FRAME_BYTES
    for codec, message in messages(row):
        received = codec.decode_client(message, cap)
        if isinstance(received, Fatal):
            told: Row = {"close": received.close}
        elif isinstance(received, Refusal):
            told = {"error": received.code}
            told |= {"ref": received.ref} if "ref" in row["expect"] else {}
        else:
            told = {"ok": True}
        assert told == row["expect"]
        assert row["lives"] is not isinstance(received, Fatal)


@BOTH
def test_the_cap_counts_bytes_not_characters(codec: Codec) -> None:
    """A frame of just so many bytes is read; one more closes the socket."""
    message = spell({"type": "ping", "id": "é"}, codec)
    size = len(message.encode() if isinstance(message, str) else message)
    assert codec.decode_client(message, size) != Fatal(CloseCode.TOO_BIG)
    assert codec.decode_client(message, size - 1) == Fatal(CloseCode.TOO_BIG)


def test_a_text_that_utf8_cannot_write_closes_the_socket() -> None:
    """A socket library that let one through would otherwise raise here."""
    assert JSON.decode_client('{"type":"ping\ud800"}', 100) == Fatal(CloseCode.INVALID_TEXT)


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ('{"type":"nope"}', "Invalid value 'nope' - at `$.type`", "unknown_type"),
        ("{}", "Object missing required field `type`", "invalid_frame"),
        ('{"type":"ping","x":1}', "Object contains unknown field `x`", "invalid_frame"),
        ('{"type":5}', "Expected `str` - at `$.type`", "invalid_frame"),
        (
            '{"type":"stop","answer":5}',
            "Expected `str`, got `int` - at `$.answer`",
            "invalid_frame",
        ),
        (
            '{"type":"ping","id":[]}',
            "Expected `str | null`, got `array` - at `$.id`",
            "invalid_frame",
        ),
        (
            '{"type":"stop","answer":""}',
            f"Expected `str` matching regex {ID_PATTERN!r} - at `$.answer`",
            "invalid_field",
        ),
        (
            '{"type":"auth","token":""}',
            "Expected `str` of length >= 1 - at `$.token`",
            "invalid_field",
        ),
        (
            '{"type":"feedback","id":"f","message":"m","rating":0}',
            "Expected `int` >= 1 - at `$.rating`",
            "invalid_field",
        ),
        (
            '{"type":"feedback","id":"f","message":"m","rating":6}',
            "Expected `int` <= 5 - at `$.rating`",
            "invalid_field",
        ),
        (
            '{"type":"feedback","id":"f","message":"m","rating":1.5}',
            "Expected `int | str`, got `float` - at `$.rating`",
            "invalid_field",
        ),
        (
            '{"type":"feedback","id":"f","message":"m","rating":null}',
            "Expected `int | str`, got `null` - at `$.rating`",
            "invalid_frame",
        ),
        (
            '{"type":"chat","id":"m","content":"x","temperature":3}',
            "Expected `float` <= 2.0 - at `$.temperature`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","temperature":1e400}',
            "Number out of range - at `$.temperature`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","max_tokens":' + "9" * 5000 + "}",
            "Integer value out of range - at `$.max_tokens`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","on_busy":"later"}',
            "Invalid enum value 'later' - at `$.on_busy`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","attachments":["a","b","c","d","e","f"]}',
            "Expected `array` of length <= 5 - at `$.attachments`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","metadata":{"":1}}',
            "Expected `str` of length >= 1 - at `key` in `$.metadata`",
            "invalid_field",
        ),
        (
            '{"type":"chat","id":"m","content":"x","retrieval":true}',
            "`retrieval` is false or an object",
            "invalid_field",
        ),
        (
            '{"type":"tool_result","id":"u","call":"t"}',
            "Object needs one of `content` and `error`",
            "invalid_frame",
        ),
    ],
)
def test_the_decoders_words_are_the_ones_that_tell_errors_apart(
    text: str, words: str, code: str
) -> None:
    """msgspec says what is wrong in words alone; a new wording must fail here, not on the wire."""
    with pytest.raises(msgspec.ValidationError, match=f"^{re.escape(words)}$"):
        msgspec.json.decode(text, type=AnyClientFrame)
    assert _classify(words) == code


def test_a_fraction_where_a_text_belongs_is_a_wrong_shape() -> None:
    """Only where a whole number is taken too is it a wrong value."""
    assert _classify("Expected `str`, got `float` - at `$.id`") is ErrorCode.INVALID_FRAME


@given(st.text(st.characters(), max_size=400))
def test_an_errors_text_is_bounded_and_fit_to_travel(value: str) -> None:
    """It quotes what was refused, and must itself be a legal text."""
    quoted = "".join(f"\\u{unit:04x}" for unit in _units(value))
    received = JSON.decode_client(f'{{"type":"{quoted}"}}', CLIENT_FRAME_BYTES)
    if isinstance(received, Refusal):
        assert len(received.message) <= MESSAGE_CHARACTERS
        assert well_formed(received.message)


def _units(text: str) -> list[int]:
    raw = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]


@pytest.mark.parametrize(
    ("frame", "ref"),
    [
        ({"id": "m1", "conversation": "c1", "answer": "a1"}, "m1"),
        ({"conversation": "c1", "answer": "a1"}, "c1"),
        ({"answer": "a1"}, "a1"),
        ({"id": 5, "answer": "a1"}, "a1"),
        ({"id": "a b", "conversation": [], "answer": {}}, None),
        ({"id": "x" * 65}, None),
        ({}, None),
    ],
)
def test_a_refusal_names_its_frame_by_the_first_valid_id(frame: Row, ref: str | None) -> None:
    """The frame's `id`, else its conversation, else its answer."""
    for codec in CODECS.values():
        received = codec.decode_client(spell({"type": "nope", **frame}, codec), 1000)
        assert isinstance(received, Refusal)
        assert received.ref == ref


@BOTH
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"type": "novelty", "seq": 9, "conversation": "c1"}, Unknown("novelty", "c1", 9)),
        ({"type": "novelty", "x": [1, {"y": None}]}, Unknown("novelty")),
        ({"type": "status", "seq": 4, "conversation": "c1"}, Unknown("status", "c1", 4)),
        ({"type": "novelty", "seq": -1, "conversation": 5}, Unknown("novelty")),
        ({"type": "novelty", "seq": "9"}, Unknown("novelty")),
        ({"type": 5, "seq": 2**53 - 1}, Unknown(None, None, 2**53 - 1)),
        ({}, Unknown()),
    ],
)
def test_what_a_client_cannot_read_of_a_server_still_has_its_place(
    codec: Codec, frame: Row, expected: Unknown
) -> None:
    """An unknown frame of the log moves the client's position."""
    assert codec.decode_server(spell(frame, codec)) == expected


@BOTH
@pytest.mark.parametrize("raw", [b"", b"[]", b"\xc1", b"\x90", b"{", b"\x81", b"\xff"])
def test_what_is_no_frame_of_a_server_is_unknown(codec: Codec, raw: bytes) -> None:
    """A client never raises for what it receives."""
    assert codec.decode_server(raw) == Unknown()


def test_a_servers_text_that_utf8_cannot_write_is_unknown() -> None:
    """As above, where a socket library hands on broken text."""
    assert JSON.decode_server('{"type":"\ud800"}') == Unknown()


@pytest.mark.parametrize("text", ["", "{}", '{"type":"pong"}', "\ud800"])
def test_a_servers_text_message_is_unknown_where_binary_ones_travel(text: str) -> None:
    """As above, for a server that mistakes the encoding."""
    assert MSGPACK.decode_server(text) == Unknown()


@BOTH
def test_a_servers_frame_over_its_cap_is_not_read(codec: Codec) -> None:
    """A client's time and memory are its own, whatever a server sends."""
    envelope = len(spell({"type": "pong", "x": "x" * 100_000}, codec)) - 100_000
    for more, expected in ((0, Pong()), (1, Unknown())):
        padding = "x" * (SERVER_FRAME_BYTES - envelope + more)
        assert codec.decode_server(spell({"type": "pong", "x": padding}, codec)) == expected


@BOTH
@given(frame=server_frame())
def test_fields_a_client_does_not_know_are_ignored(codec: Codec, frame: Struct) -> None:
    """At the frame's top; a newer server may say more."""
    plain = msgspec.to_builtins(frame) | {"novelty": {"a": [1]}}
    assert codec.decode_server(spell(plain, codec)) == frame


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], JSON),
        (["parley.v1.json"], JSON),
        (["parley.v1.msgpack"], MSGPACK),
        (["parley.v2", "parley.v1.msgpack", "parley.v1.json"], MSGPACK),
        (["parley.v2"], None),
        (["PARLEY.V1.JSON"], None),
        (["", "parley.v1.json "], None),
    ],
)
def test_the_first_known_subprotocol_is_taken(offered: list[str], chosen: Codec | None) -> None:
    """None offered means JSON; only unknown ones means none."""
    assert negotiate(offered) is chosen


@BOTH
def test_each_encoding_has_its_kind_of_message(codec: Codec) -> None:
    """Text for JSON, binary for MessagePack; the other kind closes the socket."""
    right = spell({"type": "ping"}, codec)
    wrong = right.decode("latin-1") if isinstance(right, bytes) else right.encode()
    assert codec.decode_client(right, 100) == Ping()
    assert codec.decode_client(wrong, 100) == Fatal(CloseCode.UNSUPPORTED_DATA)
