"""Objects that frames carry: messages, conversations, citations, tool calls, errors."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

from msgspec import Meta

from protocol.codes import ErrorCode
from protocol.limits import MESSAGE_ATTACHMENTS, NESTING, SERVER_FRAME_BYTES
from protocol.types import (
    MAX_SAFE_INTEGER,
    AnswerState,
    Attempt,
    ConversationStatus,
    Count,
    FinishReason,
    Guarded,
    Id,
    Offset,
    Outcome,
    Role,
    Timestamp,
    ToolState,
    Usage,
    Usd,
)

Whole = Annotated[int, Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
Scalar: TypeAlias = str | Whole | float | bool | None
Key = Annotated[str, Meta(min_length=1, max_length=128)]

if TYPE_CHECKING:
    Json: TypeAlias = "Scalar | list[Json] | dict[str, Json]"
else:
    # Free JSON is typed level by level instead of `Any`: depth is bounded, and a MessagePack map
    # can have no integer keys, whose chosen collisions would hold the event loop for half a second.
    Json = Scalar
    for _ in range(NESTING):
        Json = Scalar | list[Json] | dict[str, Json]
    Json = Annotated[Json, Meta(extra_json_schema={"x-parley": "json"})]

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]{1,64}(?![\s\S])")]
LongText = Annotated[str, Meta(max_length=SERVER_FRAME_BYTES)]
Title = Annotated[str, Meta(max_length=512)]
ModelName = Annotated[str, Meta(min_length=1, max_length=128)]
Url = Annotated[str, Meta(max_length=2048)]
Rating: TypeAlias = (
    Annotated[str, Meta(pattern=r"^(up|down)(?![\s\S])")] | Annotated[int, Meta(ge=1, le=5)]
)
Metadata = Annotated[dict[Key, Scalar], Meta(max_length=64)]


class Object(Guarded, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a frame; what is at its default does not travel."""


class Failure(Object, frozen=True, kw_only=True):
    """What went wrong with an answer."""

    code: ErrorCode
    message: Annotated[str, Meta(max_length=1024)]
    retryable: bool


class Source(Object, frozen=True, kw_only=True):
    """A place in a document that part of an answer rests on."""

    document: Id
    title: Title
    url: Url | None = None
    snippet: Annotated[str, Meta(max_length=1024)] | None = None
    start: Offset | None = None
    end: Offset | None = None
    score: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None


Sources = Annotated[list[Source], Meta(max_length=64)]


class Cited(Object, frozen=True, kw_only=True):
    """A span of an answer and the spans of sources it rests on."""

    start: Offset
    end: Offset
    sources: Sources


Citations = Annotated[list[Cited], Meta(max_length=1000)]


class ToolCall(Object, frozen=True, kw_only=True):
    """A tool call as a snapshot or a stored message shows it."""

    call: Id
    name: Name
    state: ToolState
    arguments: dict[str, Json] | None = None
    args_hash: Annotated[str, Meta(max_length=128)] | None = None
    result: LongText | None = None
    expires_at: Timestamp | None = None


ToolCalls = Annotated[list[ToolCall], Meta(max_length=200)]


class Feedback(Object, frozen=True, kw_only=True):
    """What its reader thought of a message."""

    rating: Rating
    comment: Annotated[str, Meta(max_length=4096)] | None = None


Siblings = Annotated[list[Id], Meta(max_length=5000)]


class Message(Object, frozen=True, kw_only=True):
    """A row of a conversation's tree; an answer has the fields below `created_at` too."""

    id: Id
    conversation: Id
    role: Role
    content: LongText
    parent: Id | None
    siblings: Siblings
    created_at: Timestamp
    outcome: Outcome | None = None
    attempt: Attempt | None = None
    finish_reason: FinishReason | None = None
    model: ModelName | None = None
    provider: Name | None = None
    usage: Usage | None = None
    citations: Citations | None = None
    sources: Sources | None = None
    tools: ToolCalls | None = None
    feedback: Feedback | None = None
    attachments: Annotated[list[Id], Meta(max_length=MESSAGE_ATTACHMENTS)] | None = None
    metadata: Metadata | None = None


class Unfinished(Object, frozen=True, kw_only=True):
    """An answer that has not ended, as a snapshot shows it.

    `length` is the whole text's, of which `text` may be a beginning: chunks without `seq` bring the
    rest, and a client that was cut in between knows that it has only a part.
    """

    answer: Id
    parent: Id | None
    state: AnswerState
    attempt: Attempt
    text: LongText | None = None
    length: Offset | None = None
    thought: LongText | None = None
    siblings: Siblings | None = None
    created_at: Timestamp | None = None
    feedback: Feedback | None = None
    tools: ToolCalls | None = None
    citations: Citations | None = None


class Conversation(Object, frozen=True, kw_only=True):
    """A conversation without its messages."""

    id: Id
    title: Title | None
    status: ConversationStatus
    leaf: Id | None
    message_count: Count
    created_at: Timestamp
    updated_at: Timestamp
    model: ModelName | None = None
    system_prompt: LongText | None = None
    collection: Name | None = None
    metadata: Metadata | None = None
    last_message: Annotated[str, Meta(max_length=512)] | None = None
    summary: LongText | None = None
    usage: Usage | None = None
    cost_usd: Usd | None = None


class Server(Object, frozen=True, kw_only=True):
    """Who answers."""

    name: Annotated[str, Meta(max_length=64)]
    version: Annotated[str, Meta(max_length=32)]
    instance: Annotated[str, Meta(max_length=64)]


class Timings(Object, frozen=True, kw_only=True):
    """Milliseconds of an answer's life."""

    queue: Count
    total: Count
    retrieve: Count | None = None
    first_token: Count | None = None
