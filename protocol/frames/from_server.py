"""Frames that the server sends. Clients ignore types and fields they do not know."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from protocol.codes import ErrorCode
from protocol.frames.objects import (
    Conversation,
    Failure,
    Json,
    LongText,
    Message,
    ModelName,
    Name,
    Rating,
    Server,
    Sources,
    Timings,
    Unfinished,
)
from protocol.limits import HISTORY_MESSAGES, Limits
from protocol.types import (
    AnswerState,
    Attempt,
    ClientId,
    Count,
    Crc32,
    Degradation,
    Epoch,
    FinishReason,
    GoawayReason,
    Guarded,
    Id,
    NoticeReason,
    Offset,
    Outcome,
    ResetReason,
    Seq,
    Timestamp,
    ToolState,
    Usage,
    UserId,
)

Messages = Annotated[list[Message], Meta(max_length=HISTORY_MESSAGES)]
Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]


class ServerFrame(Guarded, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Any frame from the server."""


class Logged(ServerFrame, frozen=True, kw_only=True):
    """A frame of a conversation's log.

    `seq` is known only once the log has stored the frame, so the stored body is encoded without it
    and `codec.stamp` puts it in. 0 never travels: it means "not of the log", as in the chunks that
    complete a snapshot.
    """

    seq: Seq = 0


class Welcome(ServerFrame, tag="welcome", frozen=True, kw_only=True):
    """Answer to `hello`."""

    session: Id
    user: UserId
    tenant: Id
    server: Server
    heartbeat_s: Annotated[int, Meta(ge=1, le=3600)]
    limits: Limits
    features: Annotated[list[Name], Meta(max_length=64)]
    expires_at: Timestamp | None


class Attached(ServerFrame, tag="attached", frozen=True, kw_only=True):
    """Brings the client level with a conversation."""

    conversation: Id
    epoch: Epoch
    seq: Seq
    recovered: bool
    leaf: Id | None
    answers: Annotated[list[Unfinished], Meta(max_length=1000)]
    messages: Messages | None = None
    more: bool | None = None


class Ack(ServerFrame, tag="ack", frozen=True, kw_only=True):
    """The message is committed; its answer will come."""

    ref: ClientId
    conversation: Id
    message: Id
    answer: Id
    duplicate: bool
    queued: Annotated[int, Meta(ge=0, le=1000)]
    epoch: Epoch
    seq: Seq


class MessageMade(Logged, tag="message", frozen=True, kw_only=True):
    """A row was made."""

    conversation: Id
    message: Message


class Status(Logged, tag="status", frozen=True, kw_only=True):
    """What an answer is doing."""

    conversation: Id
    answer: Id
    attempt: Attempt
    state: AnswerState
    detail: Annotated[str, Meta(max_length=256)] | None = None


class Text(Logged, rename={"since": "from"}, frozen=True, kw_only=True):
    """Text of an answer, or of its reasoning, appended at `offset`."""

    answer: Id
    offset: Offset
    text: LongText
    # `from` is a Python keyword; the first `seq` of those that this frame stands for.
    since: Seq = 0


class Chunk(Text, tag="chunk", frozen=True, kw_only=True):
    """Text appended to an answer."""


class Thought(Text, tag="thought", frozen=True, kw_only=True):
    """The model's reasoning, where a policy lets it be shown."""

    conversation: Id


class Citation(Logged, tag="citation", frozen=True, kw_only=True):
    """A span of the answer and the spans of sources it rests on."""

    conversation: Id
    answer: Id
    start: Offset
    end: Offset
    sources: Sources


class Tool(Logged, tag="tool", frozen=True, kw_only=True):
    """Where a tool call stands."""

    conversation: Id
    answer: Id
    call: Id
    name: Name
    state: ToolState
    arguments: dict[str, Json] | None = None
    args_hash: Annotated[str, Meta(max_length=128)] | None = None
    result: LongText | None = None
    expires_at: Timestamp | None = None


class Reset(Logged, tag="reset", frozen=True, kw_only=True):
    """Forget the text of earlier attempts."""

    conversation: Id
    answer: Id
    attempt: Attempt
    reason: ResetReason


class Complete(Logged, tag="complete", frozen=True, kw_only=True):
    """The one and only terminal frame of an answer."""

    conversation: Id
    answer: Id
    attempt: Attempt
    outcome: Outcome
    finish_reason: FinishReason
    length: Offset
    crc32: Crc32
    usage: Usage
    model: ModelName
    provider: Name
    sources: Sources
    degraded: Annotated[list[Degradation], Meta(max_length=16)]
    timings_ms: Timings
    error: Failure | None = None


class FeedbackGiven(Logged, tag="feedback", frozen=True, kw_only=True):
    """Feedback was saved."""

    conversation: Id
    message: Id
    rating: Rating
    comment: Annotated[str, Meta(max_length=4096)] | None = None


class ConversationChanged(Logged, tag="conversation", frozen=True, kw_only=True):
    """Title, archive state, active leaf and the like changed; the object's `id` names it."""

    conversation: Conversation


class ConversationsChanged(ServerFrame, tag="conversations", frozen=True, kw_only=True):
    """A conversation of this user was made, renamed, archived or deleted."""

    conversation: Conversation
    change: Literal["created", "updated", "archived", "deleted"]


class Typing(ServerFrame, tag="typing", frozen=True, kw_only=True):
    """Somebody types, on another device."""

    conversation: Id
    user: UserId


class Presence(ServerFrame, tag="presence", frozen=True, kw_only=True):
    """How many sockets follow the conversation."""

    conversation: Id
    sockets: Count


class Pong(ServerFrame, tag="pong", frozen=True, kw_only=True):
    """Answer to `ping`."""

    id: ClientId | None = None


class Expiring(ServerFrame, tag="expiring", frozen=True, kw_only=True):
    """The token ends soon; send `auth`."""

    in_s: Annotated[int, Meta(ge=0, le=86_400)]


class Notice(ServerFrame, tag="notice", frozen=True, kw_only=True):
    """A word to the person, outside any answer."""

    reason: NoticeReason
    text: Annotated[str, Meta(max_length=2048)]


class History(ServerFrame, tag="history", frozen=True, kw_only=True):
    """A page of one branch, oldest first."""

    ref: ClientId
    messages: Messages
    more: bool


class Ok(ServerFrame, tag="ok", frozen=True, kw_only=True):
    """Answer to what has no other answer."""

    ref: Annotated[str, Meta(max_length=64)]
    expires_at: Timestamp | None = None


class Goaway(ServerFrame, tag="goaway", frozen=True, kw_only=True):
    """The server drains: reconnect after the delay."""

    reason: GoawayReason
    reconnect_after_ms: Milliseconds


class Error(ServerFrame, tag="error", frozen=True, kw_only=True):
    """A frame was refused; the socket lives on unless a close follows."""

    code: ErrorCode
    message: Annotated[str, Meta(max_length=1024)]
    retryable: bool
    trace: Annotated[str, Meta(max_length=64)]
    retry_after_ms: Milliseconds | None = None
    ref: Annotated[str, Meta(max_length=64)] | None = None


AnyServerFrame: TypeAlias = (
    Welcome
    | Attached
    | Ack
    | MessageMade
    | Status
    | Chunk
    | Thought
    | Citation
    | Tool
    | Reset
    | Complete
    | FeedbackGiven
    | ConversationChanged
    | ConversationsChanged
    | Typing
    | Presence
    | Pong
    | Expiring
    | Notice
    | History
    | Ok
    | Goaway
    | Error
)
