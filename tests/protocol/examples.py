"""Frames that many tests need, and the little of them that each test changes."""

from typing import Any

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.frames.objects import Server
from protocol.limits import Limits
from protocol.offer import Feature
from protocol.session import reference

ALL_FEATURES = [feature.value for feature in Feature]


def welcome(features: list[str] | None = None, **limits: int) -> s.Welcome:
    """A greeting that offers everything, but for what a test says."""
    return s.Welcome(
        session="s1",
        user="ada",
        tenant="t",
        server=Server(name="parley", version="1", instance="i1"),
        heartbeat_s=20,
        limits=Limits(**limits),
        features=ALL_FEATURES if features is None else features,
        expires_at=None,
    )


def error(code: ErrorCode, ref: str | None = None, **more: Any) -> s.Error:
    """A refusal from the server."""
    return s.Error(
        code=code, message="words", retryable=code.retryable, trace="t1", ref=ref, **more
    )


def ack(chat: c.Chat | c.Edit | c.Regenerate, **more: Any) -> s.Ack:
    """The commitment to answer, in conversation `c` from the log's start."""
    known: dict[str, Any] = {
        "ref": chat.id,
        "conversation": "c",
        "message": "m1",
        "answer": "m2",
        "duplicate": False,
        "queued": 0,
        "epoch": "e1",
        "seq": 0,
    }
    return s.Ack(**known | more)


def fitting_answer(frame: c.ClientFrame) -> s.AnyServerFrame:
    """The answer that a server without trouble gives."""
    match frame:
        case c.Chat() | c.Edit() | c.Regenerate():
            return ack(frame)
        case c.ReadHistory():
            return s.History(ref=frame.id, messages=[], more=False)
        case c.Attach():
            return s.Attached(
                conversation=frame.conversation,
                epoch="e1",
                seq=0,
                recovered=False,
                leaf=None,
                answers=[],
            )
    return s.Ok(ref=reference(frame) or "")
