"""Frames that a client sends. Unknown fields are refused: a slip must not pass silently."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.frames.objects import Json, Key, Metadata, ModelName, Name, Rating, Scalar
from protocol.limits import (
    ATTACHED_CONVERSATIONS,
    CLIENT_FRAME_BYTES,
    HISTORY_DEFAULT,
    HISTORY_MESSAGES,
    MAX_TOKENS,
    MESSAGE_ATTACHMENTS,
    RETRIEVAL_LIMIT,
    TOOLS,
)
from protocol.types import ClientId, Epoch, Guarded, Id, OnBusy, Seq

# `max_length` counts code points; the limits in bytes of UTF-8 are `codec`'s, because a deployment
# may set them lower. A visible character is demanded: a blank message is a slip of the finger.
# Spelt out, for Python and ECMAScript disagree on which of these `\s` holds.
VISIBLE = r"[^\s\x1c-\x1f\x85\ufeff]"
Content = Annotated[str, Meta(pattern=VISIBLE, max_length=CLIENT_FRAME_BYTES)]
Prompt = Annotated[str, Meta(pattern=VISIBLE, max_length=CLIENT_FRAME_BYTES)]
Comment = Annotated[str, Meta(max_length=4096)]
Token = Annotated[str, Meta(min_length=1, max_length=8192)]
Hash = Annotated[str, Meta(min_length=1, max_length=128)]
Page = Annotated[int, Meta(ge=0, le=HISTORY_MESSAGES)]


class Strict(Guarded, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An object from a client."""


class ClientFrame(Strict, tag_field="type", frozen=True):
    """Any frame from a client."""


class ClientInfo(Strict, frozen=True, kw_only=True):
    """Which software speaks."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]


class Attachment(Strict, frozen=True, kw_only=True):
    """A conversation to follow, and from where."""

    conversation: Id
    epoch: Epoch | None = None
    seq: Seq | None = None
    history: Page | None = None


class Range(Strict, frozen=True, kw_only=True):
    """Bounds of a document's field; numbers, or texts that sort (dates)."""

    gt: Scalar = None
    gte: Scalar = None
    lt: Scalar = None
    lte: Scalar = None
    text: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


FilterValue: TypeAlias = Scalar | Annotated[list[Scalar], Meta(max_length=100)] | Range
Filters = Annotated[dict[Key, FilterValue], Meta(max_length=32)]


class Retrieval(Strict, frozen=True, kw_only=True):
    """Which documents to consult, and how many passages."""

    collection: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=RETRIEVAL_LIMIT)] | None = None
    filters: Filters | None = None


class ClientTool(Strict, frozen=True, kw_only=True):
    """A tool that the client runs itself; `parameters` is a JSON Schema."""

    name: Name
    description: Annotated[str, Meta(max_length=4096)]
    parameters: dict[str, Json]


class Hello(ClientFrame, tag="hello", frozen=True, kw_only=True):
    """The first frame."""

    token: Token | None = None
    client: ClientInfo | None = None
    attach: Annotated[list[Attachment], Meta(max_length=ATTACHED_CONVERSATIONS)] | None = None


class Auth(ClientFrame, tag="auth", frozen=True, kw_only=True):
    """Renew the token on the open socket."""

    token: Token


class Attach(ClientFrame, tag="attach", frozen=True, kw_only=True):
    """Follow a conversation from a position."""

    conversation: Id
    epoch: Epoch | None = None
    seq: Seq | None = None
    history: Page | None = None


class Detach(ClientFrame, tag="detach", frozen=True, kw_only=True):
    """Stop following."""

    conversation: Id


class Chat(ClientFrame, tag="chat", frozen=True, kw_only=True):
    """Send a message."""

    id: ClientId
    content: Content
    conversation: Id | None = None
    parent: Id | None = None
    model: ModelName | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    system_prompt: Prompt | None = None
    retrieval: bool | Retrieval | None = None
    tools: Annotated[list[Name | ClientTool], Meta(max_length=TOOLS)] | None = None
    attachments: Annotated[list[Id], Meta(max_length=MESSAGE_ATTACHMENTS)] | None = None
    metadata: Metadata | None = None
    on_busy: OnBusy = OnBusy.QUEUE

    def __post_init__(self) -> None:
        """Refuse `retrieval: true`, which the type cannot exclude."""
        if self.retrieval is True:
            raise ValueError("`retrieval` is false or an object")


class Stop(ClientFrame, tag="stop", frozen=True, kw_only=True):
    """Stop an answer, running or queued."""

    answer: Id


class Regenerate(ClientFrame, tag="regenerate", frozen=True, kw_only=True):
    """Another answer beside this one."""

    id: ClientId
    answer: Id
    on_busy: OnBusy = OnBusy.QUEUE
    model: ModelName | None = None


class Edit(ClientFrame, tag="edit", frozen=True, kw_only=True):
    """A sibling of an earlier user message, and a new answer below it."""

    id: ClientId
    message: Id
    content: Content
    on_busy: OnBusy = OnBusy.QUEUE


class Select(ClientFrame, tag="select", frozen=True, kw_only=True):
    """Make another branch the active one."""

    id: ClientId
    conversation: Id
    leaf: Id


class Approve(ClientFrame, tag="approve", frozen=True, kw_only=True):
    """Decide a tool call that awaits approval."""

    id: ClientId
    call: Id
    args_hash: Hash
    allow: bool


class ToolResult(ClientFrame, tag="tool_result", frozen=True, kw_only=True):
    """The outcome of a tool that the client ran: `content` or `error`, one of them."""

    id: ClientId
    call: Id
    content: Annotated[str, Meta(max_length=CLIENT_FRAME_BYTES)] | None = None
    error: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None

    def __post_init__(self) -> None:
        """Refuse a result that is both a success and a failure, or neither."""
        if (self.content is None) == (self.error is None):
            raise ValueError("Object needs one of `content` and `error`")


class GiveFeedback(ClientFrame, tag="feedback", frozen=True, kw_only=True):
    """Rate a message."""

    id: ClientId
    message: Id
    rating: Rating
    comment: Comment | None = None


class ReadHistory(ClientFrame, tag="history", frozen=True, kw_only=True):
    """Ask for a page of messages."""

    id: ClientId
    conversation: Id
    before: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=HISTORY_MESSAGES)] = HISTORY_DEFAULT


class Type(ClientFrame, tag="typing", frozen=True, kw_only=True):
    """Tell the conversation's other devices that somebody types."""

    conversation: Id


class Ping(ClientFrame, tag="ping", frozen=True, kw_only=True):
    """Ask for a `pong`."""

    id: ClientId | None = None


AnyClientFrame: TypeAlias = (
    Hello
    | Auth
    | Attach
    | Detach
    | Chat
    | Stop
    | Regenerate
    | Edit
    | Select
    | Approve
    | ToolResult
    | GiveFeedback
    | ReadHistory
    | Type
    | Ping
)
