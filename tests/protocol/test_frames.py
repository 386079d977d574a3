"""The frames: those of the contract, with its fields, and the rules that types can't state."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec import Struct

from protocol.documents.schema import CLIENT_FRAMES, LOGGED_FRAMES, SERVER_FRAMES
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.frames import objects
from protocol.frames.objects import Json
from protocol.limits import NESTING
from tests.support.frames import client_frame, server_frame

# type: its fields in the contract's table; ? may be absent.
CLIENT = {
    "hello": "token? client? attach?",
    "auth": "token",
    "attach": "conversation epoch? seq? history?",
    "detach": "conversation",
    "chat": (
        "id content conversation? parent? model? temperature? max_tokens? system_prompt? "
        "retrieval? tools? attachments? metadata? on_busy?"
    ),
    "stop": "answer",
    "regenerate": "id answer on_busy? model?",
    "edit": "id message content on_busy?",
    "select": "id conversation leaf",
    "approve": "id call args_hash allow",
    "tool_result": "id call content? error?",
    "feedback": "id message rating comment?",
    "history": "id conversation before? limit?",
    "typing": "conversation",
    "ping": "id?",
}
SERVER = {
    "welcome": "session user tenant server heartbeat_s limits features expires_at",
    "attached": "conversation epoch seq recovered leaf answers messages? more?",
    "ack": "ref conversation message answer duplicate queued epoch seq",
    "conversations": "conversation change",
    "typing": "conversation user",
    "presence": "conversation sockets",
    "pong": "id?",
    "expiring": "in_s",
    "notice": "reason text",
    "history": "ref messages more",
    "ok": "ref expires_at?",
    "goaway": "reason reconnect_after_ms",
    "error": "code message retryable trace retry_after_ms? ref?",
}
LOGGED = {
    "message": "seq? conversation message",
    "status": "seq? conversation answer attempt state detail?",
    "chunk": "seq? answer offset text from?",
    "thought": "seq? answer offset text from? conversation",
    "citation": "seq? conversation answer start end sources",
    "tool": ("seq? conversation answer call name state arguments? args_hash? result? expires_at?"),
    "reset": "seq? conversation answer attempt reason",
    "complete": (
        "seq? conversation answer attempt outcome finish_reason length crc32 usage model "
        "provider sources degraded timings_ms error?"
    ),
    "feedback": "seq? conversation message rating comment?",
    "conversation": "seq? conversation",
}


def fields(frame: type[Struct]) -> str:
    """A frame's fields as the tables above spell them."""
    return " ".join(
        field.encode_name + ("" if field.required else "?")
        for field in msgspec.structs.fields(frame)
    )


def test_client_frames_are_those_of_the_contract() -> None:
    """Types and fields; whether a field may be absent is part of it."""
    assert {f.__struct_config__.tag: fields(f) for f in CLIENT_FRAMES} == CLIENT


def test_server_frames_are_those_of_the_contract() -> None:
    """Those outside the log and those of it; two share their type with a client's frame."""
    others = [frame for frame in SERVER_FRAMES if frame not in LOGGED_FRAMES]
    assert {f.__struct_config__.tag: fields(f) for f in others} == SERVER
    assert {f.__struct_config__.tag: fields(f) for f in LOGGED_FRAMES} == LOGGED


@pytest.mark.parametrize("frame", CLIENT_FRAMES + SERVER_FRAMES, ids=lambda f: str(f.__name__))
def test_a_frame_says_what_it_is_and_never_changes(frame: type[Struct]) -> None:
    """The generated documents take their words from here."""
    assert frame.__doc__
    assert frame.__struct_config__.frozen


@pytest.mark.parametrize(
    "part",
    [x for x in vars(c).values() if isinstance(x, type) and issubclass(x, c.Strict)],
    ids=lambda part: str(part.__name__),
)
def test_every_object_of_a_client_refuses_unknown_fields(part: type[Struct]) -> None:
    """A typing error must not pass silently, at no depth."""
    assert part.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(
    "part",
    [
        x
        for x in (vars(s) | vars(objects)).values()
        if isinstance(x, type) and issubclass(x, s.ServerFrame | objects.Object)
    ],
    ids=lambda part: str(part.__name__),
)
def test_objects_of_the_server_stay_open(part: type[Struct]) -> None:
    """An older client reads what a newer server sends."""
    assert not part.__struct_config__.forbid_unknown_fields


@given(client_frame())
def test_what_a_client_leaves_at_its_default_does_not_travel(frame: Struct) -> None:
    """Absent and default mean the same, so the shorter spelling is the one."""
    plain = msgspec.to_builtins(frame)
    for field in msgspec.structs.fields(frame):
        if not field.required and getattr(frame, field.name) == field.default:
            assert field.encode_name not in plain


@given(server_frame())
def test_zero_never_travels_as_a_place_in_the_log(frame: Struct) -> None:
    """`seq` 0 and `from` 0 mean "not of the log"."""
    plain = msgspec.to_builtins(frame)
    if isinstance(frame, s.Logged):
        assert plain.get("seq", 1) > 0
        assert plain.get("from", 1) > 0


def test_retrieval_is_false_or_an_object() -> None:
    """`true` would ask for documents without saying which."""
    with pytest.raises(ValueError, match="retrieval"):
        c.Chat(id="m1", content="x", retrieval=True)
    assert c.Chat(id="m1", content="x", retrieval=False).retrieval is False


@pytest.mark.parametrize("outcome", [{}, {"content": "x", "error": "y"}])
def test_a_tool_result_is_a_success_or_a_failure(outcome: dict[str, str]) -> None:
    """Both or neither would leave it to the server to guess."""
    with pytest.raises(ValueError, match="content"):
        c.ToolResult(id="u1", call="t1", **outcome)


def test_an_empty_tool_result_is_a_success() -> None:
    """A tool that says nothing has still run."""
    assert c.ToolResult(id="u1", call="t1", content="").error is None


def test_free_json_nests_so_deep_and_no_deeper() -> None:
    """The bound keeps the reader's stack and time bounded."""

    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1

    assert msgspec.convert(nested(NESTING), Json) == nested(NESTING)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(nested(NESTING + 1), Json)


@pytest.mark.parametrize("frame", CLIENT_FRAMES + SERVER_FRAMES, ids=lambda f: str(f.__name__))
def test_names_on_the_wire_are_plain_words(frame: type[Struct]) -> None:
    """Lower case, so that every language can spell them as they are."""
    for field in msgspec.structs.fields(frame):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", field.encode_name)
