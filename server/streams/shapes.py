"""Rows as the wire shows them: one place for what a client sees of a message or an end."""

from typing import Any

import msgspec
from msgspec import structs

from protocol.codec import Unknown
from protocol.codes import ErrorCode
from protocol.frames import from_server as s
from protocol.frames import objects as o
from protocol.types import AnswerState, rfc3339
from storage import records as r
from storage.values import EMPTY_LIST, NANO_PER_USD, Json, Spent

_CITATIONS = msgspec.json.Decoder(list[o.Cited])
_SOURCES = msgspec.json.Decoder(list[o.Source])
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_EMPTY = (b"", b"[]", b"{}", b"null")


def frame_of(commit: r.Commit) -> s.Logged:
    """What a log tells of a commit."""
    match commit.row:
        case r.Message() as row:
            return s.MessageMade(conversation=row.conversation, message=message(_as_made(row)))
        case r.Ended() as row:
            return complete(row)
        case r.Conversation() as row:
            return s.ConversationChanged(conversation=conversation(row))
        case r.Feedback() as row:
            return s.FeedbackGiven(
                conversation=row.conversation,
                message=row.message,
                rating=rating(row.rating),
                comment=row.comment,
            )


def is_of_same(one: s.Logged | Unknown, other: s.Logged | Unknown) -> bool:
    """Whether both tell of one commit; a message may have got siblings between two looks at it."""
    if isinstance(one, s.MessageMade) and isinstance(other, s.MessageMade):
        return one.message.id == other.message.id
    return one == other


def _as_made(row: r.Message) -> r.Message:
    """Without what came of an answer: it may have ended in line before its row is told."""
    if row.answered is None:
        return row
    answered = structs.replace(
        row.answered,
        attempt=1,
        outcome=None,
        finish_reason=None,
        provider=None,
        citations=EMPTY_LIST,
        sources=EMPTY_LIST,
    )
    return structs.replace(row, content="", tools=(), feedback=None, answered=answered)


def message(row: r.Message) -> o.Message:
    """A message as `message`, `attached` and `history` show it."""
    answered = row.answered
    ended = answered is not None and answered.outcome is not None
    return o.Message(
        id=row.id,
        conversation=row.conversation,
        role=row.role,
        content=row.content,
        parent=row.parent,
        siblings=list(row.siblings),
        created_at=rfc3339(row.created_at),
        attachments=list(row.attachments) or None,
        metadata=_object(row.metadata),
        tools=[tool(each) for each in row.tools] or None,
        feedback=None if row.feedback is None else feedback(row.feedback),
        outcome=answered.outcome if answered else None,
        attempt=answered.attempt if answered else None,
        finish_reason=answered.finish_reason if answered else None,
        model=answered.model if answered else None,
        provider=answered.provider if answered else None,
        usage=answered.spent.usage() if answered and ended else None,
        citations=citations(answered.citations) or None if answered else None,
        sources=sources(answered.sources) or None if answered else None,
    )


def complete(row: r.Ended) -> s.Complete:
    """The terminal frame of an answer."""
    model = row.model or "unknown"
    error = row.error
    return s.Complete(
        conversation=row.conversation,
        answer=row.answer,
        attempt=row.attempt,
        outcome=row.outcome,
        finish_reason=row.finish_reason,
        length=row.length,
        crc32=row.crc32,
        usage=row.spent.usage(),
        model=model,
        # An answer that never ran had none; the model's name begins with who would have.
        provider=row.provider or model.partition("/")[0],
        sources=sources(row.sources),
        degraded=list(row.degraded),
        timings_ms=o.Timings(
            queue=row.timings.queue,
            total=row.timings.total,
            retrieve=row.timings.retrieve,
            first_token=row.timings.first_token,
        ),
        error=None
        if error is None
        else o.Failure(
            code=ErrorCode[error.code.upper()], message=error.message, retryable=error.retryable
        ),
    )


def conversation(row: r.Conversation) -> o.Conversation:
    """A conversation without its messages."""
    return o.Conversation(
        id=row.id,
        title=row.title,
        status=row.status,
        leaf=row.leaf,
        message_count=row.message_count,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        model=row.model,
        system_prompt=row.system_prompt,
        collection=row.collection,
        metadata=_object(row.metadata),
        last_message=row.last_message,
        summary=row.summary,
        usage=None if row.spent == Spent() else row.spent.usage(),
        cost_usd=row.spent.cost_nano / NANO_PER_USD if row.spent.cost_nano else None,
    )


def unfinished(
    row: r.Unfinished,
    *,
    text: str,
    length: int,
    state: AnswerState,
    attempt: int,
    citations: list[o.Cited],
) -> o.Unfinished:
    """An answer under way as a snapshot shows it; `text` may be a beginning of `length` units."""
    return o.Unfinished(
        answer=row.answer.id,
        parent=row.answer.parent,
        state=state,
        attempt=attempt,
        text=text,
        length=length,
        created_at=rfc3339(row.answer.created_at),
        tools=[tool(each) for each in row.tools],
        citations=citations,
    )


def under_way(answer: r.Answer) -> o.Unfinished:
    """The same for a client that has its text already."""
    return o.Unfinished(
        answer=answer.id, parent=answer.parent, state=state(answer), attempt=answer.attempt
    )


def state(answer: r.Answer) -> AnswerState:
    """What people are told of where it stands."""
    if answer.state is r.RunState.PARKED:
        return AnswerState.PARKED
    if answer.state is r.RunState.QUEUED:
        return AnswerState.QUEUED
    # Before its first checkpoint a running answer's row still says what it was made as.
    return AnswerState.THINKING if answer.phase is AnswerState.QUEUED else answer.phase


def tool(row: r.ToolCall) -> o.ToolCall:
    """A tool call as it stands."""
    return o.ToolCall(
        call=row.id,
        name=row.name,
        state=row.state,
        arguments=_object(row.arguments),
        args_hash=row.args_hash,
        result=row.result,
        expires_at=None if row.expires_at is None else rfc3339(row.expires_at),
    )


def feedback(row: r.Feedback) -> o.Feedback:
    """What the reader thinks of a message."""
    return o.Feedback(rating=rating(row.rating), comment=row.comment)


def rating(stored: str) -> str | int:
    """A rating as the wire has it: stored, a number is a digit."""
    return int(stored) if stored.isdigit() else stored


def citations(stored: Json) -> list[o.Cited]:
    """An answer's citations."""
    return [] if bytes(stored) in _EMPTY else _CITATIONS.decode(stored)


def sources(stored: Json) -> list[o.Source]:
    """An answer's sources."""
    return [] if bytes(stored) in _EMPTY else _SOURCES.decode(stored)


def _object(stored: Json) -> dict[str, Any] | None:
    return None if bytes(stored) in _EMPTY else _OBJECT.decode(stored)
