"""What a session is offered, and each way of going beyond it."""

import pytest

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.limits import Limits
from protocol.offer import Feature, Offer

ALL = Offer(features=frozenset(Feature))
TOOL = c.ClientTool(name="clock", description="", parameters={})


def chat(content: str = "Hello", **more: object) -> c.Chat:
    return c.Chat(id="m-1", content=content, **more)  # type: ignore[arg-type] # a test's own fields


WITHIN: list[c.ClientFrame] = [
    chat(),
    chat(retrieval=False),
    chat(retrieval=c.Retrieval(), tools=["clock", TOOL], attachments=["a"], metadata={"k": 1}),
    chat("x" * 32 * 1024, system_prompt="x" * 8 * 1024, max_tokens=128_000),
    chat("é" * 16 * 1024),
    c.Edit(id="e", message="m", content="x" * 32 * 1024),
    c.ToolResult(id="r", call="k", error="no"),
    c.Approve(id="a", call="k", args_hash="h", allow=False),
    c.ReadHistory(id="h", conversation="c", limit=100),
    c.Stop(answer="a"),
    c.Auth(token="t"),
]


@pytest.mark.parametrize("frame", WITHIN, ids=lambda frame: type(frame).__name__)
def test_what_is_within_the_offer_passes(frame: c.ClientFrame) -> None:
    """Every limit includes its own number."""
    assert ALL.refuse(frame) is None


FEATURES = {
    Feature.RETRIEVAL: chat(retrieval=c.Retrieval()),
    Feature.ATTACHMENTS: chat(attachments=["a"]),
    Feature.TOOLS: chat(tools=["clock"]),
    Feature.CLIENT_TOOLS: chat(tools=[TOOL]),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_field_of_a_missing_feature_is_invalid(feature: Feature) -> None:
    """The message points to where the client could have known it."""
    refusal = Offer(features=frozenset(Feature) - {feature}).refuse(FEATURES[feature])
    assert refusal is not None
    assert (refusal.code, refusal.ref) == (ErrorCode.INVALID_FIELD, "m-1")
    assert "welcome.features" in refusal.message


@pytest.mark.parametrize(
    ("feature", "frame"),
    [
        (Feature.APPROVALS, c.Approve(id="m-1", call="k", args_hash="h", allow=True)),
        (Feature.CLIENT_TOOLS, c.ToolResult(id="m-1", call="k", content="x")),
        (Feature.CLIENT_TOOLS, c.ToolResult(id="m-1", call="k", error="x")),
    ],
)
def test_a_frame_of_a_missing_feature_is_unavailable(
    feature: Feature, frame: c.ClientFrame
) -> None:
    """It may be there again after an upgrade of the server."""
    refusal = Offer(features=frozenset(Feature) - {feature}).refuse(frame)
    assert refusal is not None
    assert (refusal.code, refusal.ref) == (ErrorCode.UNAVAILABLE, "m-1")


@pytest.mark.parametrize(
    "frame",
    [
        chat(attachments=["a"] * 3),
        chat(tools=["clock"] * 3),
        chat(max_tokens=3),
        chat(metadata={"k": "123456789"}),
    ],
    ids=["attachments", "tools", "max_tokens", "metadata"],
)
def test_a_number_over_its_limit_is_invalid(frame: c.ClientFrame) -> None:
    """Limits may be lower than the protocol's, for everyone or for this principal."""
    low = Limits(message_attachments=2, tools=2, max_tokens=2, metadata_bytes=16)
    refusal = Offer(low, frozenset(Feature)).refuse(frame)
    assert refusal is not None
    assert (refusal.code, refusal.ref) == (ErrorCode.INVALID_FIELD, "m-1")


@pytest.mark.parametrize("letter", ["x", "é", "\u20ac", "\U0001f600"])
def test_texts_are_measured_in_bytes_of_utf8(letter: str) -> None:
    """To the byte, whatever the letters cost."""
    size = len(letter.encode())
    offer = Offer(Limits(content_bytes=60, system_prompt_bytes=12), frozenset(Feature))
    fits, over = letter * (60 // size), letter * (60 // size + 1)
    assert offer.refuse(chat(fits, system_prompt=letter * (12 // size))) is None
    too_long: list[c.ClientFrame] = [
        chat(over),
        chat("x", system_prompt=letter * (12 // size + 1)),
        c.Edit(id="m-1", message="m", content=over),
        c.ToolResult(id="m-1", call="k", content=over),
    ]
    for frame in too_long:
        refusal = offer.refuse(frame)
        assert refusal is not None
        assert (refusal.code, refusal.ref) == (ErrorCode.MESSAGE_TOO_LONG, "m-1")


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    """It goes into logs."""
    refusal = Offer(Limits(content_bytes=3)).refuse(chat("secret"))
    assert refusal is not None
    assert "secret" not in refusal.message
