"""The nouns of the domain: ids, positions, closed lists, money and time.

`storage` imports this module and `text` alone, so nothing here knows how a frame looks.
"""

from collections.abc import Sized
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

# Numbers on the wire stay where a JavaScript number is exact.
MAX_SAFE_INTEGER = 2**53 - 1

# Python's `$` also matches before a final newline, so the end is stated as "no character follows",
# which ECMAScript reads the same way: the schema carries the very pattern that decides here.
ID_PATTERN = r"^[A-Za-z0-9._:~-]{1,64}(?![\s\S])"
# `[0-9]`, for Python's `\d` takes the digits of every script.
TIMESTAMP_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z(?![\s\S])"

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="An opaque id.")]
ClientId = Annotated[
    str, Meta(pattern=ID_PATTERN, description="Minted by the client; makes its frame idempotent.")
]
# A subject comes from an issuer of the host's choice (`auth0|…`, an e-mail address), so its
# alphabet is the host's. 255 is OpenID Connect's bound for `sub`.
UserId = Annotated[str, Meta(min_length=1, max_length=255)]
Epoch = Annotated[
    str, Meta(pattern=ID_PATTERN, description="Random name of one life of a conversation's log.")
]
Seq = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
Offset = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER, description="UTF-16 code units.")]
Crc32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF, description="CRC-32 of the text's UTF-8 bytes.")]
Attempt = Annotated[int, Meta(ge=1, le=1_000_000)]
Usd = Annotated[float, Meta(ge=0, le=1e12)]
Timestamp = Annotated[
    str, Meta(pattern=TIMESTAMP_PATTERN, description="RFC 3339, UTC, milliseconds.")
]


# Fields with what people wrote, or with what proves who they are.
PRIVATE = frozenset(
    [
        "token",
        "content",
        "text",
        "thought",
        "system_prompt",
        "comment",
        "title",
        "place",  # in a list by title
        "snippet",
        "summary",
        "last_message",
        "detail",
        "arguments",
        "parameters",
        "description",
        "result",
        "error",
        "metadata",
        "filters",
        "attachments",
        "request",
        "transcript",
        "citations",
        "payload",
        "last_error",
    ]
)


class Guarded(Struct, frozen=True):
    """A value whose repr may stand in a log: its private fields are there by their size alone."""

    def __repr__(self) -> str:
        """Show what is set."""
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in PRIVATE and isinstance(value, Sized):
                shown.append(f"{name}=<{len(value)}>")
            elif name in PRIVATE and value is not None:
                shown.append(f"{name}=<…>")
            elif value is not None:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Position(Struct, frozen=True, order=True):
    """A place in one life of a conversation's log; comparable only within one epoch."""

    epoch: Epoch
    seq: Seq


class Role(StrEnum):
    """Who wrote a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class OnBusy(StrEnum):
    """What a message does when its conversation is already answering."""

    QUEUE = "queue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


class AnswerState(StrEnum):
    """What an unfinished answer is doing, as `status` tells it."""

    QUEUED = "queued"
    RETRIEVING = "retrieving"
    THINKING = "thinking"
    GENERATING = "generating"
    TOOL = "tool"
    PARKED = "parked"


class Outcome(StrEnum):
    """How an answer ended; told once, in `complete`."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class FinishReason(StrEnum):
    """Why an answer ended; each belongs to one outcome."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"
    CRASH = "crash"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    TIMEOUT = "timeout"
    LIMIT = "limit"


FINISH_REASONS: dict[Outcome, frozenset[FinishReason]] = {
    Outcome.COMPLETE: frozenset(
        {FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
    ),
    Outcome.STOPPED: frozenset({FinishReason.STOPPED, FinishReason.SUPERSEDED}),
    Outcome.INTERRUPTED: frozenset({FinishReason.CRASH, FinishReason.SHUTDOWN}),
    Outcome.FAILED: frozenset({FinishReason.ERROR, FinishReason.TIMEOUT, FinishReason.LIMIT}),
}


class ToolState(StrEnum):
    """Where a tool call stands; `unknown` means its effect may or may not have happened."""

    REQUESTED = "requested"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class ConversationStatus(StrEnum):
    """The life of a conversation."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class ResetReason(StrEnum):
    """Why the text shown so far is given up."""

    RETRY = "retry"
    FALLBACK = "fallback"
    HANDOVER = "handover"
    POLICY = "policy"


class Degradation(StrEnum):
    """What an answer had to do without, named in `complete.degraded`."""

    FALLBACK_MODEL = "fallback_model"
    NO_RETRIEVAL = "no_retrieval"
    NO_RERANK = "no_rerank"
    NO_TOOLS = "no_tools"
    NO_MEMORY = "no_memory"
    CACHED = "cached"
    OFFLINE = "offline"


class NoticeReason(StrEnum):
    """Why a person is told something outside any answer."""

    OPERATOR = "operator"
    MAINTENANCE = "maintenance"
    BUDGET = "budget"
    DEGRADED = "degraded"


class GoawayReason(StrEnum):
    """Why the server asks a socket to move on."""

    SHUTDOWN = "shutdown"
    REBALANCE = "rebalance"


class Usage(Struct, frozen=True, kw_only=True):
    """What an answer consumed and cost."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    cost_usd: Usd


def rfc3339(milliseconds: int) -> str:
    """A moment as the wire spells it; `milliseconds` since 1970, UTC."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
