"""The generated documents say what the wire does, and are as fresh as the code."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Struct, structs, to_builtins

from protocol.codec import CODECS, JSON
from protocol.codes import Advice, CloseCode, ErrorCode
from protocol.documents import asyncapi, schema, typescript
from protocol.frames.from_server import Logged
from scripts.lib import generate
from tests.protocol.test_codes import CLOSE_CODES, ERROR_CODES
from tests.protocol.test_frames import CLIENT, LOGGED, SERVER
from tests.support.frames import client_frame, server_frame
from tests.support.vectors import Row, messages, rows

DOCUMENT = schema.document()


@lru_cache
def validator(union: str) -> Draft202012Validator:
    """Checks frames of one side."""
    return Draft202012Validator({**DOCUMENT, "anyOf": [{"$ref": f"#/$defs/{union}"}]})


def fits(union: str, frame: Any) -> bool:
    """Whether the schema lets a side send this."""
    return bool(validator(union).is_valid(frame))


def fields(frame: dict[str, Any]) -> str:
    """A definition's fields as the contract's tables spell them."""
    names = [name for name in frame["properties"] if name != "type"]
    return " ".join(name + ("" if name in frame["required"] else "?") for name in names)


def tagged(union: str) -> dict[str, dict[str, Any]]:
    """The definitions of a side's frames, by their type."""
    mapping = DOCUMENT["$defs"][union]["discriminator"]["mapping"]
    return {tag: DOCUMENT["$defs"][ref.rpartition("/")[2]] for tag, ref in mapping.items()}


def test_nothing_generated_is_stale() -> None:
    """`scripts/generate` was run after the last change of a type, a code or a vector."""
    assert generate.stale() == []


def test_a_stale_or_missing_file_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scripts/generate --check` says which file and what to do."""
    monkeypatch.setattr(generate, "generated", lambda: {generate.VECTORS / "text.json": "else"})
    complaint = generate.main(["--check"])
    assert complaint == "protocol/vectors/text.json is stale: run scripts/generate"
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == complaint
    assert generate.main([]) is None
    assert generate.main(["--check"]) is None


def test_generating_twice_gives_the_same() -> None:
    """The order of everything follows from the code, not from a hash."""
    schema.definitions.cache_clear()
    assert json.dumps(schema.document()) == json.dumps(DOCUMENT)


# The schema


def test_the_schema_is_one() -> None:
    """By the metaschema that it names."""
    Draft202012Validator.check_schema(DOCUMENT)


def test_the_schema_has_the_contracts_frames_and_fields() -> None:
    """All of them and no other; ● frames but for text require their `seq`."""
    logged = {
        tag: text if tag in {"chunk", "thought"} else text.replace("seq?", "seq")
        for tag, text in LOGGED.items()
    }
    clients, servers = tagged("ClientFrame"), tagged("ServerFrame")
    assert {tag: fields(frame) for tag, frame in clients.items()} == CLIENT
    assert {tag: fields(frame) for tag, frame in servers.items()} == SERVER | logged


def test_the_schema_has_the_contracts_codes() -> None:
    """With status, retryability, meaning and advice."""
    errors, closes = DOCUMENT["x-error-codes"], DOCUMENT["x-close-codes"]
    assert {
        code: (traits["status"], traits["retryable"]) for code, traits in errors.items()
    } == ERROR_CODES
    assert {int(code) for code in closes} == CLOSE_CODES
    assert set(DOCUMENT["$defs"]["ErrorCode"]["enum"]) == set(ERROR_CODES)
    assert all(traits["advice"] in {a.value for a in Advice} for traits in closes.values())


def test_clients_objects_are_closed_and_the_servers_are_open() -> None:
    """What a server refuses the schema refuses; what a client ignores it lets pass."""
    objects = {name: node for name, node in DOCUMENT["$defs"].items() if "properties" in node}
    for name in objects.keys() & set(_reached("ClientFrame")):
        assert objects[name]["additionalProperties"] is False, name
    for name in objects.keys() & set(_reached("ServerFrame")):
        assert "additionalProperties" not in objects[name], name


def _reached(name: str, seen: set[str] | None = None) -> Iterator[str]:
    """The definitions that one leads to."""
    seen = set() if seen is None else seen
    for ref in re.findall(r'"#/\$defs/(\w+)"', json.dumps(DOCUMENT["$defs"][name])):
        if ref not in seen:
            seen.add(ref)
            yield ref
            yield from _reached(ref, seen)


def test_every_whole_number_is_bounded_where_javascript_is_exact() -> None:
    """Without a bound MessagePack could not even write it: the encoder would raise."""
    for name, definition in DOCUMENT["$defs"].items():
        for field, node in definition.get("properties", {}).items():
            for part in [node, *node.get("anyOf", [])]:
                if part.get("type") == "integer":
                    assert {"minimum", "maximum"} <= set(part), f"{name}.{field}"


def test_the_schema_is_small_enough_to_read() -> None:
    """Free JSON, which is typed level by level in the code, is one definition here."""
    assert len(json.dumps(DOCUMENT)) < 100_000
    assert "x-parley" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize("row", rows("encodings"), ids=lambda r: f"{r['direction']} {r['name']}")
def test_every_vector_is_valid(row: Row) -> None:
    """As it travels: a logged frame with its `seq`; and so is every other spelling."""
    union = "ClientFrame" if row["direction"] == "client" else "ServerFrame"
    for text in [s["json"] for s in row.get("stamped", [row])]:
        assert fits(union, json.loads(text))
    for text in row.get("equal", {}).get("json", []):
        assert fits(union, json.loads(text))


# No schema tells 2^53 from 2^53.0, or says "without U+0000" of every text; the document says so.
IN_WORDS = ("\\u0000", str(2**53), "Infinity")


def judged_by_the_schema() -> Iterator[Any]:
    """Hostile rows about one readable object, which is what a schema can judge."""
    for row in rows("refusals") + rows("fields"):
        if row["layer"] != "codec" or not row.get("schema", True) or "cut" in row:
            continue
        for _, message in messages({**row, "encoding": row.get("encoding", "json")}):
            frame = _object(message)
            if frame is not None and not any(part in json.dumps(frame) for part in IN_WORDS):
                yield pytest.param(row, frame, id=f"{row['class']} {row['name']}")


def _object(message: bytes | str) -> Any:
    try:
        frame = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None


@pytest.mark.parametrize(("row", "frame"), list(judged_by_the_schema()))
def test_the_schema_judges_a_clients_frame_as_the_server_does(row: Row, frame: Any) -> None:
    """What is refused for its shape or values fails; what is taken passes."""
    if row["expect"].get("error") in {"invalid_frame", "invalid_field", "unknown_type"}:
        assert not fits("ClientFrame", frame)
    elif row["expect"] == {"ok": True}:
        assert fits("ClientFrame", frame)


@given(client_frame())
def test_any_frame_of_a_client_is_valid(frame: Struct) -> None:
    """As its encoder writes it."""
    assert fits("ClientFrame", to_builtins(frame))


@given(server_frame(), st.integers(1, 2**53 - 1))
def test_any_frame_of_the_server_is_valid(frame: Struct, seq: int) -> None:
    """As its encoder writes it, once a logged one has its place and the rules are kept."""
    if isinstance(frame, Logged):
        frame = structs.replace(frame, seq=seq)
    plain = to_builtins(frame)
    if plain["type"] == "complete":
        plain |= {"outcome": "stopped", "finish_reason": "superseded"}
    assert fits("ServerFrame", plain)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "reset", "conversation": "c", "answer": "a", "attempt": 2, "reason": "retry"},
        {"type": "chunk", "answer": "a", "offset": 0, "text": "x", "seq": 0},
        {"type": "chunk", "answer": "a", "offset": 0, "text": "x", "from": 3},
        {"type": "pong", "id": None},
        {"type": "novelty"},
        {},
    ],
    ids=str,
)
def test_the_schema_knows_what_the_types_cannot_say(frame: Row) -> None:
    """Frames that the decoder would take, or give up on, and that no server sends."""
    assert not fits("ServerFrame", frame)


def test_an_outcome_has_only_its_own_finish_reasons() -> None:
    """The pairs of the contract."""
    [row] = [row for row in rows("encodings") if row["name"] == "complete, minimal"]
    frame = {**row["frame"], "seq": 1}
    assert fits("ServerFrame", frame)
    assert not fits("ServerFrame", {**frame, "finish_reason": "stop"})


def test_a_newer_servers_fields_are_let_pass() -> None:
    """Clients ignore them, at every depth."""
    frame = {"type": "pong", "novelty": {"a": 1}}
    assert fits("ServerFrame", frame)


# AsyncAPI


def test_asyncapi_has_an_operation_per_frame_with_its_words() -> None:
    """The server receives a client's frames and sends its own."""
    document = asyncapi.document()
    operations = document["operations"].values()
    for action, frames in (("receive", schema.CLIENT_FRAMES), ("send", schema.SERVER_FRAMES)):
        found = [operation for operation in operations if operation["action"] == action]
        assert [one["summary"] for one in found] == [asyncapi.summary(frame) for frame in frames]
        assert [one["messages"] for one in found] == [
            [{"$ref": f"#/channels/ws/messages/{frame.__name__}"}] for frame in frames
        ]


def test_asyncapi_gives_every_frame_but_typing_one_answer_or_an_error() -> None:
    """The reply names the frame that answers, and `error`."""
    operations = asyncapi.document()["operations"]
    for frame in schema.CLIENT_FRAMES:
        reply = operations[f"receive{frame.__name__}"].get("reply", {"messages": []})
        answers = [ref["$ref"].rpartition("/")[2] for ref in reply["messages"]]
        assert answers[1:] == ([] if frame.__struct_config__.tag == "typing" else ["Error"])


def test_every_reference_in_asyncapi_leads_somewhere() -> None:
    """It is one file: nothing is read from another."""
    document = asyncapi.document()
    for ref in re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)):
        node = document
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_asyncapi_names_the_way_in() -> None:
    """Version, address, both subprotocols and the three places for credentials."""
    document = asyncapi.document()
    channel = document["channels"]["ws"]
    headers = channel["bindings"]["ws"]["headers"]["properties"]
    assert document["asyncapi"] == "3.0.0"
    assert channel["address"] == "/ws"
    assert headers["Sec-WebSocket-Protocol"]["enum"] == list(CODECS)
    assert set(channel["x-media-types"]) == set(CODECS)
    assert set(document["components"]["securitySchemes"]) == {"header", "hello", "ticket"}
    assert len(document["servers"]["parley"]["security"]) == 3


# TypeScript


def test_typescript_has_every_frame_field_and_list() -> None:
    """The compiler checks the vectors against it; here it is only seen to be whole."""
    text = typescript.frames()
    for frame in schema.CLIENT_FRAMES + schema.SERVER_FRAMES:
        body = re.search(rf"(interface|type) {frame.__name__}Frame .*?\n\n", text, re.S)
        assert body is not None
        assert f'readonly type: "{frame.__struct_config__.tag}";' in body[0]
        for field in structs.fields(frame):
            assert re.search(rf"readonly {field.encode_name}\??: ", body[0])
    for name, node in DOCUMENT["$defs"].items():
        assert re.search(rf"export (interface|type) {name}(Frame)? ", text), name
        for value in node.get("enum", []):
            assert json.dumps(value) in text


def test_typescript_has_every_code() -> None:
    """Close codes by name, error codes with what is the same wherever they appear."""
    text = typescript.codes()
    for close in CloseCode:
        assert f"  {close.name}: {close.value},\n" in text
    for code in ErrorCode:
        retryable = "true" if code.retryable else "false"
        assert (
            f"  {code.value}: {{\n    status: {code.status},\n    retryable: {retryable},\n" in text
        )


def test_the_vectors_that_typescript_compiles_are_json_literals() -> None:
    """Read back, they are the frames of the data file."""
    text = (generate.ROOT / "client-js/test/vectors.generated.ts").read_text(encoding="utf-8")
    literals = [json.loads(line.strip(", ")) for line in re.findall(r"^  \{.*,$", text, re.M)]
    frames = [row["frame"] | ({"seq": 1} if "stamped" in row else {}) for row in rows("encodings")]
    assert literals == frames


def test_vectors_cover_every_frame_at_its_least_and_its_most() -> None:
    """For each type one vector has just the required fields, and together they show every field."""
    for side, tables in (("client", CLIENT), ("server", SERVER | LOGGED)):
        shown: dict[str, list[set[str]]] = {}
        for row in rows("encodings"):
            if row["direction"] == side:
                shown.setdefault(row["frame"]["type"], []).append(set(row["frame"]) - {"type"})
        for tag, spelt in tables.items():
            names = set(spelt.removeprefix("seq? ").split())
            required = {name for name in names if not name.endswith("?")}
            assert set.union(*shown[tag]) == {name.rstrip("?") for name in names}, tag
            assert required in shown[tag] or tag in {"attached", "tool_result"}, tag


def test_the_codec_of_the_documents_is_the_codec_of_the_wire() -> None:
    """The media type that AsyncAPI names for JSON is the default of its messages."""
    assert asyncapi.MEDIA_TYPES[JSON.subprotocol] == asyncapi.document()["defaultContentType"]
