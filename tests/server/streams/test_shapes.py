"""Rows as the wire shows them: every kind, and always what the schema allows."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import Raw, structs

from protocol.codec import JSON
from protocol.frames import objects as o
from protocol.frames.from_server import (
    Attached,
    Complete,
    ConversationChanged,
    ConversationsChanged,
    FeedbackGiven,
    History,
    Logged,
    MessageMade,
    ServerFrame,
)
from protocol.types import (
    AnswerState,
    ConversationStatus,
    Degradation,
    FinishReason,
    Outcome,
    Role,
    ToolState,
)
from server.streams import shapes
from storage import records as r
from storage.values import EMPTY_LIST, EMPTY_OBJECT, Spent

SCHEMA = json.loads((Path(__file__).parents[3] / "protocol" / "schema" / "frames.json").read_text())
VALIDATOR = Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": "#/$defs/ServerFrame"}]})
AT = 1_795_000_000_123
SHOWN_AT = "2026-11-18T11:06:40.123Z"
SOURCES = Raw(b'[{"document":"d_1","title":"Guide","snippet":"text","score":0.5}]')
CITATIONS = Raw(b'[{"start":0,"end":4,"sources":[{"document":"d_1","title":"Guide"}]}]')

TOOL = r.ToolCall(
    id="k_1",
    answer="m_2",
    attempt=1,
    step=0,
    origin=r.Origin.CLIENT,
    name="send_mail",
    state=ToolState.AWAITING_APPROVAL,
    arguments=Raw(b'{"to":"bob"}'),
    args_hash="ab" * 32,
    result=None,
    expires_at=AT,
)
FEEDBACK = r.Feedback(message="m_2", conversation="c_1", rating="4", comment="good", updated_at=AT)
ANSWERED = r.Answered(
    state=r.RunState.ENDED,
    attempt=2,
    outcome=Outcome.COMPLETE,
    finish_reason=FinishReason.STOP,
    model="offline",
    provider="offline",
    spent=Spent(3, 4, 5_000_000),
    citations=CITATIONS,
    sources=SOURCES,
    error=None,
)
QUESTION = r.Message(
    conversation="c_1",
    id="m_1",
    parent=None,
    siblings=("m_1",),
    role=Role.USER,
    content="Hello 😀",
    metadata=Raw(b'{"page":"home"}'),
    attachments=("a_1",),
    number=1,
    created_at=AT,
)
ANSWER = structs.replace(
    QUESTION,
    id="m_2",
    parent="m_1",
    siblings=("m_2", "m_3"),
    role=Role.ASSISTANT,
    content="text",
    metadata=EMPTY_OBJECT,
    attachments=(),
    number=2,
    answered=ANSWERED,
    tools=(TOOL,),
    feedback=FEEDBACK,
)
EMPTY = structs.replace(
    ANSWER,
    content="",
    tools=(),
    feedback=None,
    answered=r.Answered(
        state=r.RunState.QUEUED,
        attempt=1,
        outcome=None,
        finish_reason=None,
        model=None,
        provider=None,
        spent=Spent(),
        citations=EMPTY_LIST,
        sources=EMPTY_LIST,
        error=None,
    ),
)
ENDED = r.Ended(
    tenant="t",
    conversation="c_1",
    answer="m_2",
    number=3,
    fence=1,
    attempt=1,
    outcome=Outcome.COMPLETE,
    finish_reason=FinishReason.STOP,
    length=4,
    crc32=0x80000001,
    spent=Spent(3, 4, 5_000_000),
    model="cohere/command",
    provider="cohere",
    citations=CITATIONS,
    sources=SOURCES,
    degraded=(Degradation.FALLBACK_MODEL,),
    timings=r.Timings(queue=1, total=9, retrieve=2, first_token=3),
    error=None,
    ended_at=AT,
)
FAILED = structs.replace(
    ENDED,
    outcome=Outcome.FAILED,
    finish_reason=FinishReason.TIMEOUT,
    error=r.Failure(code="provider_timeout", message="It took too long.", retryable=True),
)
NEVER_RAN = structs.replace(
    ENDED,
    outcome=Outcome.STOPPED,
    finish_reason=FinishReason.SUPERSEDED,
    length=0,
    crc32=0,
    spent=Spent(),
    model=None,
    provider=None,
    sources=EMPTY_LIST,
    degraded=(),
    timings=r.Timings(queue=1, total=1),
)
CONVERSATION = r.Conversation(
    tenant="t",
    owner="ann",
    id="c_1",
    title="About",
    status=ConversationStatus.ACTIVE,
    model="offline",
    system_prompt="Be brief.",
    collection="docs",
    metadata=Raw(b'{"a":1}'),
    leaf="m_2",
    message_count=2,
    last_message="text",
    summary="short",
    spent=Spent(3, 4, 5_000_000),
    created_at=AT,
    updated_at=AT,
)
BARE = structs.replace(
    CONVERSATION,
    title=None,
    model=None,
    system_prompt=None,
    collection=None,
    metadata=EMPTY_OBJECT,
    leaf=None,
    last_message=None,
    summary=None,
    spent=Spent(),
)


def row(state: r.RunState, phase: AnswerState = AnswerState.QUEUED) -> r.Unfinished:
    """An answer that has not ended."""
    answer = r.Answer(
        tenant="t",
        conversation="c_1",
        id="m_2",
        user="ann",
        parent="m_1",
        number=2,
        state=state,
        phase=phase,
        stop=None,
        attempt=2,
        incarnation=None,
        fence=1,
        request=EMPTY_OBJECT,
        transcript=None,
        model=None,
        epoch=None,
        seq=0,
        length=4,
        created_at=AT,
        started_at=None,
    )
    return r.Unfinished(answer=answer, text="text", citations=CITATIONS, tools=(TOOL,))


def as_sent(frame: ServerFrame) -> dict[str, Any]:
    """The frame as a client reads it; the schema lets it pass."""
    if isinstance(frame, Logged):
        frame = structs.replace(frame, seq=1)
    sent: dict[str, Any] = json.loads(JSON.encode(frame))
    assert [error.message for error in VALIDATOR.iter_errors(sent)] == []
    return sent


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (QUESTION, MessageMade),
        (ANSWER, MessageMade),
        (EMPTY, MessageMade),
        (ENDED, Complete),
        (FAILED, Complete),
        (NEVER_RAN, Complete),
        (CONVERSATION, ConversationChanged),
        (BARE, ConversationChanged),
        (FEEDBACK, FeedbackGiven),
        (structs.replace(FEEDBACK, rating="up", comment=None), FeedbackGiven),
    ],
)
def test_every_commit_is_a_frame_that_the_schema_knows(
    row: r.Message | r.Ended | r.Conversation | r.Feedback, kind: type[Logged]
) -> None:
    """Full and with as little as a row may have."""
    frame = shapes.frame_of(r.Commit(number=1, kind=r.CommitKind.MESSAGE, row=row))
    assert type(frame) is kind
    as_sent(frame)


def test_a_message_is_shown_with_all_it_has() -> None:
    """A question's own, then an answer's."""
    asked = as_sent(MessageMade(conversation="c_1", message=shapes.message(QUESTION)))["message"]
    assert asked["created_at"] == SHOWN_AT
    assert (asked["attachments"], asked["metadata"]) == (["a_1"], {"page": "home"})
    assert "outcome" not in asked
    answer = shapes.message(ANSWER)
    assert answer.usage is not None
    assert (answer.usage.total_tokens, answer.usage.cost_usd) == (7, 0.005)
    assert answer.sources is not None
    assert answer.sources[0].title == "Guide"
    assert answer.feedback == o.Feedback(rating=4, comment="good")
    assert answer.tools is not None
    assert answer.tools[0].arguments == {"to": "bob"}
    assert (answer.outcome, answer.attempt, answer.siblings) == ("complete", 2, ["m_2", "m_3"])


def test_an_answer_that_has_not_ended_shows_no_usage() -> None:
    """Nobody knows it yet; absent, not nought."""
    empty = shapes.message(EMPTY)
    absent = (empty.usage, empty.outcome, empty.citations, empty.sources, empty.tools)
    assert absent == (None, None, None, None, None)
    assert empty.attempt == 1


def test_an_end_names_model_and_provider_in_any_case() -> None:
    """An answer that never ran had neither; a model's name begins with who would have."""
    assert (shapes.complete(NEVER_RAN).model, shapes.complete(NEVER_RAN).provider) == (
        "unknown",
        "unknown",
    )
    waiting = structs.replace(NEVER_RAN, model="cohere/command")
    assert shapes.complete(waiting).provider == "cohere"
    assert shapes.complete(FAILED).error == o.Failure(
        code="provider_timeout",  # type: ignore[arg-type] # a StrEnum's value equals it
        message="It took too long.",
        retryable=True,
    )


@pytest.mark.parametrize(
    ("state", "phase", "shown"),
    [
        (r.RunState.QUEUED, AnswerState.QUEUED, AnswerState.QUEUED),
        (r.RunState.PARKED, AnswerState.TOOL, AnswerState.PARKED),
        (r.RunState.RUNNING, AnswerState.QUEUED, AnswerState.THINKING),
        (r.RunState.RUNNING, AnswerState.GENERATING, AnswerState.GENERATING),
    ],
)
def test_what_people_are_told_of_an_answers_state(
    state: r.RunState, phase: AnswerState, shown: AnswerState
) -> None:
    """A running one is not queued, whatever its row still says."""
    assert shapes.state(row(state, phase).answer) is shown


def test_an_answer_under_way_is_shown_whole_or_bare() -> None:
    """Whole in a snapshot; bare where the client has its text."""
    unfinished = row(r.RunState.RUNNING, AnswerState.TOOL)
    whole = shapes.unfinished(
        unfinished,
        text="te",
        length=4,
        state=AnswerState.TOOL,
        attempt=2,
        citations=shapes.citations(CITATIONS),
    )
    bare = shapes.under_way(unfinished.answer)
    for answer, recovered in ((whole, False), (bare, True)):
        as_sent(
            Attached(
                conversation="c_1",
                epoch="e1",
                seq=4,
                recovered=recovered,
                leaf="m_2",
                answers=[answer],
                messages=None if recovered else [shapes.message(QUESTION)],
            )
        )
    assert (bare.text, bare.tools, bare.citations) == (None, None, None)
    assert whole.citations is not None
    assert (whole.text, whole.length, whole.citations[0].end) == ("te", 4, 4)


def test_tools_histories_and_lists_fit_the_schema() -> None:
    """The same objects in other frames."""
    told = as_sent(History(ref="h-1", messages=[shapes.message(ANSWER)], more=False))
    call = told["messages"][0]["tools"][0]
    assert (call["call"], call["state"], call["expires_at"]) == (
        "k_1",
        "awaiting_approval",
        SHOWN_AT,
    )
    assert shapes.tool(structs.replace(TOOL, result="ok", expires_at=None)).expires_at is None
    as_sent(ConversationsChanged(conversation=shapes.conversation(CONVERSATION), change="created"))


def test_a_conversation_that_cost_nothing_says_nothing_of_it() -> None:
    """Absent, not nought."""
    bare = shapes.conversation(BARE)
    assert (bare.usage, bare.cost_usd, bare.metadata) == (None, None, None)
    assert shapes.conversation(CONVERSATION).cost_usd == 0.005


def test_the_row_of_an_answer_is_told_empty_however_late() -> None:
    """One that was stopped in line has ended before; `complete` says so, and comes behind."""
    stopped = structs.replace(
        EMPTY,
        answered=structs.replace(
            ANSWERED, model=None, outcome=Outcome.STOPPED, finish_reason=FinishReason.SUPERSEDED
        ),
    )
    commits = [r.Commit(number=2, kind=r.CommitKind.MESSAGE, row=row) for row in (EMPTY, stopped)]
    empty, late = map(shapes.frame_of, commits)
    assert late == empty
    whole = shapes.frame_of(r.Commit(number=2, kind=r.CommitKind.MESSAGE, row=ANSWER))
    assert isinstance(whole, MessageMade)
    assert (whole.message.content, whole.message.outcome, whole.message.tools) == ("", None, None)


def test_one_commit_may_be_told_in_two_ways() -> None:
    """A message by who knew fewer siblings; anything else is told alike, or is something else."""
    one, other = (
        MessageMade(conversation="c_1", message=shapes.message(structs.replace(row, siblings=ids)))
        for row, ids in ((QUESTION, ("m_1",)), (QUESTION, ("m_1", "m_9")))
    )
    another = MessageMade(
        conversation="c_1", message=shapes.message(structs.replace(QUESTION, id="m_9"))
    )
    assert shapes.is_of_same(one, other)
    assert not shapes.is_of_same(one, another)
    given = FeedbackGiven(conversation="c_1", message="m_1", rating="up", comment=None)
    assert shapes.is_of_same(given, structs.replace(given))
    assert not shapes.is_of_same(given, structs.replace(given, rating="down"))
    assert not shapes.is_of_same(given, one)
