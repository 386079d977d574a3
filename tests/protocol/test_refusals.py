"""Hostile input, from its bytes to the `error` frame or the close that answers it."""

import pytest

from protocol.codec import CODECS, Codec
from protocol.codes import CloseCode
from tests.support.connections import Connection, Told
from tests.support.vectors import Message, Row, hostile, messages, rows, spell

CLASSES = {
    *(f"H{number}" for number in range(1, 12)),
    *(f"T{number}" for number in range(1, 12)),
    *(f"F{number}" for number in range(1, 27)),
}
LAYERS = {"codec", "session", "server", "socket", "handshake", "credentials", "admission"}
WAYS = {
    *("frame", "text", "hex", "parts", "wire", "behaviour", "offer", "script"),
    *("request", "token", "ticket", "visitor", "auth", "crowd"),
}


def last_told(row: Row, codec: Codec, message: Message) -> Told:
    """Send what a row says, as often as it says; what the last message led to."""
    connection = Connection(codec, **({"features": row["features"]} if "features" in row else {}))
    if row["state"] == "open":
        connection.open()
    for frame in row.get("before", []):
        connection.receive(spell(frame, codec))
    told = Told()
    for _ in range(row.get("times", 1)):
        told = connection.receive(message)
    return told


@pytest.mark.parametrize("row", hostile("codec", "session"))
def test_the_connection_answers_as_the_row_says(row: Row) -> None:
    """One error that names its frame, or one close; else the frame is taken."""
    if row["layer"] == "codec" and row["expect"] == {"ok": True}:
        return  # well-formed, which is all that a codec can say; it may still be refused
    for codec, message in messages(row):
        told = last_told(row, codec, message)
        if "error" in row["expect"]:
            [error] = told.errors
            assert error.code == row["expect"]["error"]
            assert error.retryable is error.code.retryable
            assert error.ref == row["expect"].get("ref", error.ref)
            assert codec.decode_server(_as_message(codec, codec.encode(error))) == error
        else:
            assert told.errors == [] or told.close is CloseCode.BAD_REQUEST
        assert told.close == row["expect"].get("close")
        assert row["lives"] is (told.close is None)


def _as_message(codec: Codec, raw: bytes) -> Message:
    return raw if codec.binary else raw.decode()


def test_every_class_of_hostile_input_has_a_row() -> None:
    """H1 to F26 of the fault table; classes that were found later carry other names."""
    assert {row["class"] for row in rows("refusals")} == CLASSES


@pytest.mark.parametrize("codec", CODECS.values(), ids=repr)
def test_a_second_connection_is_not_affected(codec: Codec) -> None:
    """Nothing of one connection's refusals is kept anywhere but in it."""
    healthy = Connection(codec).open()
    hostile_one = Connection(codec).open()
    for _ in range(5):
        hostile_one.receive(_as_message(codec, b"\xc1" if codec.binary else b"{"))
    [pong] = healthy.receive(spell({"type": "ping", "id": "p1"}, codec)).sent
    assert getattr(pong, "id", None) == "p1"


def test_rows_are_written_in_one_way() -> None:
    """Every row says where it belongs, what to send and what comes of it."""
    for row in rows("refusals") + rows("fields"):
        assert {"class", "name", "layer", "state", "expect", "lives"} <= set(row)
        assert row["layer"] in LAYERS
        assert row["state"] in {"tcp", "new", "open"}
        assert len(WAYS & set(row)) == 1
        assert row["lives"] is {"close", "status"}.isdisjoint(row["expect"])
