"""PROTOCOL.md says what the code does: every frame, field, code and list, and its dialogues."""

import re
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import get_args
from zlib import crc32

import msgspec
import pytest

import protocol
from protocol import limits, session, types
from protocol.codec import JSON, Fatal, Refusal, Unknown
from protocol.codes import Advice, CloseCode, ErrorCode, advice
from protocol.frames.from_client import AnyClientFrame, ClientFrame
from protocol.frames.from_server import AnyServerFrame, Logged, ServerFrame, Text
from protocol.offer import Feature

DOCUMENT = (Path(protocol.__file__).parent / "PROTOCOL.md").read_text()
CLIENT_FRAMES: tuple[type[ClientFrame], ...] = get_args(AnyClientFrame)
SERVER_FRAMES: tuple[type[ServerFrame], ...] = get_args(AnyServerFrame)


def chapter(number: int) -> str:
    """The text of a numbered chapter."""
    return re.split(r"^## \d+ .*$", DOCUMENT, flags=re.M)[number]


def sections(number: int) -> dict[str, str]:
    """A chapter's sections by the frame type in their heading."""
    parts = re.split(r"^### `(\w+)`( ●)?$", chapter(number), flags=re.M)[1:]
    return {name + (mark or ""): text for name, mark, text in zip(*[iter(parts)] * 3, strict=True)}


def tag(frame: type[ClientFrame | ServerFrame]) -> str:
    """The frame's `type` on the wire."""
    return str(frame.__struct_config__.tag)


def rows(number: int) -> list[list[str]]:
    """The cells of a chapter's table, without its head."""
    lines = [line for line in chapter(number).splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_client_frame_has_a_section() -> None:
    """Chapter 6 has one section for each frame a client may send, and no other."""
    assert set(sections(6)) == {tag(frame) for frame in CLIENT_FRAMES}


def test_every_server_frame_has_a_section_that_says_whether_it_is_logged() -> None:
    """Chapter 7 has one section per frame; ● stands at exactly those of the log."""
    assert set(sections(7)) == {
        tag(frame) + (" ●" if issubclass(frame, Logged) else "") for frame in SERVER_FRAMES
    }


@pytest.mark.parametrize("frame", [*CLIENT_FRAMES, *SERVER_FRAMES], ids=lambda f: str(f.__name__))
def test_a_section_names_every_field_and_which_may_be_absent(
    frame: type[ClientFrame | ServerFrame],
) -> None:
    """The shape in a frame's section has the struct's fields, `?` at the optional ones."""
    text = sections(6)[tag(frame)] if issubclass(frame, ClientFrame) else ""
    if not text:
        text = sections(7)[tag(frame) + (" ●" if issubclass(frame, Logged) else "")]
    shape = text.split("```ts")[1]
    for field in msgspec.structs.fields(frame):
        # `seq` has a default only because a stored body does not have it yet.
        always = field.name == "seq" and issubclass(frame, Logged) and not issubclass(frame, Text)
        optional = not field.required and not always
        assert f" {field.encode_name}{'?' if optional else ''}: " in shape, field.encode_name


def test_every_close_code_is_listed_with_its_advice() -> None:
    """Chapter 9 lists the codes of the code, in order, each with what a client does."""
    table = {int(code): (name, re.findall(r"\w+", what)[0]) for code, name, what in rows(9)}
    verb = {Advice.STOP: "stops", Advice.RECONNECT: "reconnects", Advice.RENEW: "reconnects"}
    assert table == {code.value: (code.reason, verb[advice(code)]) for code in CloseCode}


def test_every_error_code_is_listed_with_its_traits() -> None:
    """Chapter 10 lists the codes of the code, each with status, retryability and meaning."""
    assert [tuple(row) for row in rows(10)] == [
        (
            code.value,
            str(code.status),
            "yes" if code.retryable else "no",
            code.traits.meaning.strip("`"),
        )
        for code in ErrorCode
    ]


def test_every_closed_list_is_complete() -> None:
    """Chapter 11 lists each value of each list that frames draw from."""
    names = {"role": "Role", "on_busy": "OnBusy"}
    table = {names.get(name, name): re.findall(r"[a-z_]+", values) for name, values in rows(11)}
    for name, values in table.items():
        listed: type[StrEnum] = getattr(types, name)
        assert values == [value.value for value in listed]


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    """Where the prose names a bound, it is the one that holds."""
    timing = session.DEFAULT_TIMING
    assert f"within {limits.HELLO_TIMEOUT_S:.0f} s (else 4001)" in DOCUMENT
    assert f"holds up to {session.HELD_FRAMES} of" in DOCUMENT
    assert f"within {timing.pong_s:.0f} s is closed with 4008" in DOCUMENT.replace("\n", " ")
    assert f"`expiring` {timing.expiring_s:.0f} s before" in DOCUMENT
    assert f"4002, {timing.expired_grace_s:.0f} s after" in DOCUMENT
    assert f"more than {session.PENDING_FRAMES} unanswered" in DOCUMENT
    assert f"at most {limits.ATTACHED_CONVERSATIONS} conversations" in DOCUMENT
    assert f"nests at most {limits.NESTING} levels" in DOCUMENT
    assert all(f"`{feature}`" in chapter(7) for feature in Feature)


def test_the_answers_named_are_the_answers_given() -> None:
    """The table of common rules agrees with the session's own."""
    table = {name.strip(" `"): answer for names, answer, _ in rows(3) for name in names.split(",")}
    for frame, answer in session.ANSWERED_BY.items():
        if answer is not None:
            assert table[tag(frame)].startswith(tag(answer)), tag(frame)


def test_whole_frames_in_the_dialogues_are_frames() -> None:
    """What a dialogue writes out in full decodes; what it abbreviates is marked by an ellipsis."""
    lines = re.findall(r"^([CS]) (\{.*\})$", chapter(14), flags=re.M)
    assert len(lines) > 30
    for (side, text), (_, reply) in pairwise([*lines, ("", "")]):
        if "…" in text:
            continue
        if side == "S":
            assert not isinstance(JSON.decode_server(text), Unknown), text
            continue
        match JSON.decode_client(text, limits.CLIENT_FRAME_BYTES):
            case Refusal(code=code):
                assert f'"code":"{code}"' in reply, text
            case Fatal():
                pytest.fail(text)


def test_the_checksums_in_the_dialogues_are_right() -> None:
    """An implementer who tries the examples finds them true."""
    assert f'"crc32":{crc32(b"Hello.")}' in DOCUMENT
    assert f'"crc32":{crc32(b"Hel")}' in DOCUMENT
