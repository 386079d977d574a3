"""The golden vectors of protocol/vectors, spelt out as the messages that they stand for."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

import protocol
from protocol.codec import JSON, MSGPACK, Codec

FOLDER = Path(protocol.__file__).parent / "vectors"

Row: TypeAlias = dict[str, Any]
Message: TypeAlias = bytes | str

ENCODINGS = {"json": JSON, "msgpack": MSGPACK}


def rows(file: str) -> list[Row]:
    """The rows of a file of vectors."""
    found: list[Row] = json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))
    return found


def hostile(*layers: str) -> list[Any]:
    """The rows of hostile input for some layers, as parameters with readable names."""
    return [
        pytest.param(row, id=f"{row['class']} {row['name']} ({row.get('encoding', 'both')})")
        for row in rows("refusals") + rows("fields")
        if row["layer"] in layers
    ]


def messages(row: Row) -> Iterator[tuple[Codec, Message]]:
    """What to send for a row, in each encoding it is meant for."""
    for name, codec in ENCODINGS.items():
        if row.get("encoding", name) == name:
            whole = payload(row, codec)
            for end in range(len(whole)) if row.get("cut") == "each" else [len(whole)]:
                yield codec, whole[:end]


def payload(row: Row, codec: Codec) -> Message:
    """A row's message in one encoding."""
    if "frame" in row:
        return spell(row["frame"], codec)
    binary = codec.binary if "opcode" not in row else row["opcode"] == "binary"
    raw = b"".join(part_bytes(part) for part in row.get("parts", [row]))
    return raw if binary else raw.decode()


def spell(frame: Row, codec: Codec) -> Message:
    """A frame, legal or not, as a client would write it."""
    if codec is MSGPACK:
        return msgspec.msgpack.encode(frame)
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def part_bytes(part: Row) -> bytes:
    """The bytes of a part: a text or hex digits, so many times, or every combination of two."""
    if "combinations" in part:
        before, after = bytes.fromhex(part["before"]), bytes.fromhex(part["after"])
        choices = [bytes.fromhex(choice) for choice in part["combinations"]]
        return b"".join(
            before + b"".join(chosen) + after for chosen in product(choices, repeat=part["of"])
        )
    raw = bytes.fromhex(part["hex"]) if "hex" in part else str(part["text"]).encode()
    return raw * int(part.get("times", 1))
