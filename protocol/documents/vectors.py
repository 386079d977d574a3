"""Golden vectors: what a person wrote in `protocol/vectors`, completed by what follows from it."""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from protocol.codec import CODECS, JSON, MSGPACK, Fatal, Refusal, Unknown
from protocol.codes import advice
from protocol.documents.typescript import HEADER
from protocol.frames.from_server import Logged
from protocol.limits import CLIENT_FRAME_BYTES
from protocol.text import crc32, mend, utf16_length, utf16_slice, well_formed

Row: TypeAlias = dict[str, Any]

# Where MessagePack's whole numbers change their width, and the largest of all.
STAMPS = (1, 200, 70_000, 2**53 - 1)


def encodings(rows: Iterable[Row]) -> list[Row]:
    """Each frame with its exact bytes; of a logged one its stored body, and that body stamped."""
    return [_encoded(row) for row in rows]


def _encoded(row: Row) -> Row:
    text = json.dumps(row["frame"])
    frame = (
        JSON.decode_client(text, CLIENT_FRAME_BYTES)
        if row["direction"] == "client"
        else JSON.decode_server(text)
    )
    if isinstance(frame, Refusal | Fatal | Unknown):
        raise ValueError(f"{row['name']} is no frame: {frame}")
    bodies = {codec: codec.encode(frame) for codec in CODECS.values()}
    done = {"name": row["name"], "direction": row["direction"], "frame": row["frame"]}
    done |= {"json": bodies[JSON].decode(), "msgpack": bodies[MSGPACK].hex()}
    if isinstance(frame, Logged):
        done["stamped"] = [
            {
                "seq": seq,
                "json": JSON.stamp(bodies[JSON], seq).decode(),
                "msgpack": MSGPACK.stamp(bodies[MSGPACK], seq).hex(),
            }
            for seq in STAMPS
        ]
    return done | {key: row[key] for key in ("equal",) if key in row}


def text(rows: Iterable[Row]) -> list[Row]:
    """Each text with its UTF-16 length, checksum and slices, or mended where it may not travel."""
    return [_measured(row["text"], row["slices"]) for row in rows]


def _measured(text: str, slices: list[Row]) -> Row:
    if not well_formed(text):
        return {"text": text, "slices": [], "well_formed": False, "mended": mend(text)}
    cut = [
        {**span, "text": utf16_slice(text, span["start"], span["end"])}
        for span in ({"start": span["start"], "end": span["end"]} for span in slices)
    ]
    measures = {"length": utf16_length(text), "crc32": crc32(text)}
    return {"text": text, "slices": cut, "well_formed": True, **measures}


def closes(rows: Iterable[Row]) -> list[Row]:
    """Each close code with its advice."""
    return [{"code": row["code"], "advice": advice(row["code"]).value} for row in rows]


def rows_as_text(rows: Iterable[Row]) -> str:
    """A file of rows, one a line, in ASCII: no editor or review can hide or change a character."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def literals(rows: Iterable[Row]) -> str:
    """The frames of `encodings.json` as TypeScript that compiles only if the types fit them."""
    sides: dict[str, list[str]] = {"client": [], "server": []}
    for row in rows:
        seq = {"seq": row["stamped"][0]["seq"]} if "stamped" in row else {}
        sides[row["direction"]].append(f"  // {row['name']}\n  {json.dumps(row['frame'] | seq)},\n")
    return (
        f'{HEADER}\nimport type {{ ClientFrame, ServerFrame }} from "../src/frames.ts";\n\n'
        f"export const clientFrames = [\n{''.join(sides['client'])}]"
        " as const satisfies readonly ClientFrame[];\n\n"
        f"export const serverFrames = [\n{''.join(sides['server'])}]"
        " as const satisfies readonly ServerFrame[];\n"
    )
