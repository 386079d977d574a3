"""Rows of conversations as the rest of the program sees them, and what is handed in to make them.

Everything here, in `storage.work` and in `storage.accounts` is frozen. Times are milliseconds since
1970 by the database's clock; lengths and offsets of text count UTF-16 code units.
"""

from enum import StrEnum

from msgspec import UNSET, UnsetType

from protocol.types import (
    AnswerState,
    ConversationStatus,
    Degradation,
    FinishReason,
    Guarded,
    OnBusy,
    Outcome,
    Role,
    ToolState,
)
from storage.values import EMPTY_OBJECT, Json, Once, Spent
from storage.work import Expense, NewJob

# ── asking for an answer ─────────────────────────────────────────────────────────────────────────


class Ask(Guarded, frozen=True, kw_only=True):
    """What sending, regenerating and editing have in common.

    `request` is what the run needs, stored as it is. With an `incarnation` the answer belongs to
    it at once if nothing is ahead. `jobs` are enqueued in the same transaction.
    """

    once: Once
    request: Json
    max_queued: int  # answers that may wait behind the one that runs
    model: str | None = None
    on_busy: OnBusy = OnBusy.QUEUE
    incarnation: str | None = None
    jobs: tuple[NewJob, ...] = ()


class NewConversation(Guarded, frozen=True, kw_only=True):
    """How a conversation begins."""

    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    collection: str | None = None
    metadata: Json = EMPTY_OBJECT


class Send(Ask, frozen=True, kw_only=True):
    """A message; without a conversation one is made as `new` says, and takes no `parent`.

    In a conversation the message stands below `parent`, which else is the leaf.
    """

    content: str
    conversation: str | None = None
    parent: str | None = None
    metadata: Json = EMPTY_OBJECT
    attachments: tuple[str, ...] = ()
    new: NewConversation = NewConversation()


class Regenerate(Ask, frozen=True, kw_only=True):
    """Another answer beside `answer`."""

    answer: str


class Edit(Ask, frozen=True, kw_only=True):
    """A sibling of the user's message `message`, and an answer below it."""

    message: str
    content: str
    metadata: Json = EMPTY_OBJECT
    attachments: tuple[str, ...] = ()


class Sent(Guarded, frozen=True, kw_only=True, omit_defaults=True, tag="sent"):
    """What became of an `Ask`. A duplicate gets what the first one got, up to `fence`.

    `ended` are answers that `interrupt` ended in this transaction, `stopping` those still running,
    whose incarnations are to be woken. In both the log learns of it by the outbox. `rows` are the
    messages made, as the outbox has them, and `run` is the answer if it is the asker's own.
    """

    conversation: str
    created: bool
    message: str
    answer: str
    queued: int
    numbers: tuple[int, ...]
    fence: int  # 0: the answer waits to be claimed
    duplicate: bool = False
    ended: tuple["Ended", ...] = ()
    stopping: tuple["Stopping", ...] = ()
    rows: tuple["Message", ...] = ()
    run: "Answer | None" = None


class Stopping(Guarded, frozen=True, kw_only=True):
    """A running answer that was asked to stop."""

    answer: str
    incarnation: str


class Stopped(Guarded, frozen=True, kw_only=True):
    """What `stop` found: an answer that ended, now or before, or one whose owner must be woken."""

    ended: "Ended | None" = None
    stopping: Stopping | None = None


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


class RunState(StrEnum):
    """Where an answer stands for the server; `AnswerState` is what people are told."""

    QUEUED = "queued"
    RUNNING = "running"
    PARKED = "parked"
    ENDED = "ended"


class Held(Guarded, frozen=True):
    """An answer and the fence under which somebody owns it: what an owner shows to write."""

    tenant: str
    conversation: str
    answer: str
    fence: int


class Answer(Guarded, frozen=True, kw_only=True):
    """An answer as whoever runs, stops or takes it over needs to know it."""

    tenant: str
    conversation: str
    id: str
    user: str
    parent: str
    number: int
    state: RunState
    phase: AnswerState
    stop: FinishReason | None
    attempt: int
    incarnation: str | None
    fence: int
    request: Json
    transcript: Json | None
    model: str | None
    epoch: str | None
    seq: int
    length: int
    created_at: int
    started_at: int | None

    @property
    def held(self) -> Held:
        """What its owner shows."""
        return Held(self.tenant, self.conversation, self.id, self.fence)


class Checkpoint(Guarded, frozen=True, kw_only=True):
    """Text that was appended since the last one, and the log's position behind it.

    `citations`, where given, replace those stored before.
    """

    held: Held
    start: int
    text: str
    epoch: str | None = None
    seq: int = 0
    phase: AnswerState = AnswerState.GENERATING
    citations: Json | None = None


class Verdict(StrEnum):
    """What became of a checkpoint."""

    STORED = "stored"
    FENCED = "fenced"
    MISPLACED = "misplaced"  # not stored: the text so far ends elsewhere, at `length`


class Checkpointed(Guarded, frozen=True, kw_only=True):
    """A checkpoint's verdict, how much text is stored, and whether a stop was asked for."""

    answer: str
    verdict: Verdict
    length: int = 0
    stop: FinishReason | None = None


class Timings(Guarded, frozen=True, kw_only=True, omit_defaults=True):
    """Milliseconds of an answer's life."""

    queue: int
    total: int
    retrieve: int | None = None
    first_token: int | None = None


class Failure(Guarded, frozen=True, kw_only=True):
    """Why an answer failed, in words a person may read."""

    code: str
    message: str
    retryable: bool


class Tail(Guarded, frozen=True):
    """The text behind the last checkpoint; it may begin in what is already stored.

    `epoch` and `seq` are the log's position behind it, as in a checkpoint; an end needs none.
    """

    start: int = 0
    text: str = ""
    epoch: str | None = None
    seq: int = 0


class Ending(Guarded, frozen=True, kw_only=True):
    """How an answer is to end. Timings left out are reckoned from the row's own times."""

    outcome: Outcome
    finish_reason: FinishReason
    tail: Tail | None = None
    model: str | None = None
    provider: str | None = None
    citations: Json | None = None
    sources: Json | None = None
    degraded: tuple[Degradation, ...] = ()
    timings: Timings | None = None
    error: Failure | None = None
    expenses: tuple[Expense, ...] = ()


class Ended(Guarded, frozen=True, kw_only=True):
    """The one end of an answer; `fresh` for the call that made it.

    That call also learns whether another answer of the conversation was queued: `waiting`.
    """

    tenant: str
    conversation: str
    answer: str
    number: int
    fence: int
    attempt: int
    outcome: Outcome
    finish_reason: FinishReason
    length: int
    crc32: int
    spent: Spent
    model: str | None
    provider: str | None
    citations: Json
    sources: Json
    degraded: tuple[Degradation, ...]
    timings: Timings
    error: Failure | None
    ended_at: int
    fresh: bool = False
    waiting: bool = False


class Heartbeat(Guarded, frozen=True, kw_only=True):
    """An incarnation's life sign. Before `unbroken_since` it may have been taken for dead.

    A beat says what it found: `before`, the time of the last one that the database knows of.
    """

    incarnation: str
    instance: str
    started_at: int
    beat_at: int
    unbroken_since: int
    before: int = 0


# ── tools ────────────────────────────────────────────────────────────────────────────────────────


class Origin(StrEnum):
    """Who runs a tool."""

    SERVER = "server"
    CLIENT = "client"


class NewToolCall(Guarded, frozen=True, kw_only=True):
    """A call the model asked for. Its `id` is minted by the caller, so storing it twice is once."""

    id: str
    name: str
    step: int
    arguments: Json
    args_hash: str
    state: ToolState
    origin: Origin = Origin.SERVER
    expires_in_ms: int | None = None


class ToolCall(Guarded, frozen=True, kw_only=True):
    """A tool call as it stands."""

    id: str
    answer: str
    attempt: int
    step: int
    origin: Origin
    name: str
    state: ToolState
    arguments: Json
    args_hash: str
    result: str | None
    expires_at: int | None


class Decided(Guarded, frozen=True, kw_only=True, tag="decided"):
    """A call with its decision or result. `resumable`: its answer is parked and waits no more."""

    call: ToolCall
    conversation: str
    resumable: bool


# ── conversations and messages ───────────────────────────────────────────────────────────────────


class Conversation(Guarded, frozen=True, kw_only=True):
    """A conversation without its messages; `last_message` is the beginning of the newest text."""

    tenant: str
    owner: str
    id: str
    title: str | None
    status: ConversationStatus
    model: str | None
    system_prompt: str | None
    collection: str | None
    metadata: Json
    leaf: str | None
    message_count: int
    last_message: str | None
    summary: str | None
    spent: Spent
    created_at: int
    updated_at: int


class Created(Guarded, frozen=True):
    """What `create` made, or had made before with that id: then it is not `fresh`."""

    conversation: Conversation
    fresh: bool


class Change(Guarded, frozen=True, kw_only=True):
    """What is to be changed of a conversation; what is not set stays, and None takes it away."""

    title: str | UnsetType | None = UNSET
    status: ConversationStatus | UnsetType = UNSET
    model: str | UnsetType | None = UNSET
    system_prompt: str | UnsetType | None = UNSET
    collection: str | UnsetType | None = UNSET
    metadata: Json | UnsetType = UNSET
    summary: str | UnsetType | None = UNSET


class Changed(Guarded, frozen=True):
    """The conversation before and after a change; the two are equal where nothing was changed."""

    before: Conversation
    after: Conversation


class ListedBy(StrEnum):
    """What a list of conversations is sorted by; equal ones are told apart by their ids."""

    UPDATED_AT = "updated_at"
    CREATED_AT = "created_at"
    TITLE = "title"  # ASCII letters of either case alike, other characters by their numbers


class Listing(Guarded, frozen=True, kw_only=True):
    """Which conversations are listed, and in what order. Without a status: all but archived ones.

    `text`: those with it in their titles or in the messages of any branch.
    """

    status: ConversationStatus | None = None
    text: str | None = None
    by: ListedBy = ListedBy.UPDATED_AT
    descending: bool = True


class Cursor(Guarded, frozen=True):
    """Where a page of conversations ended: its last one's place in the order, and its id.

    `total`: how many were counted for the first page.
    """

    place: int | str  # a time, or a title, which is private
    id: str
    total: int


class ConversationPage(Guarded, frozen=True, kw_only=True):
    """Some of a list; `next` is None on the last page, `total` counts all pages."""

    items: tuple[Conversation, ...]
    next: Cursor | None
    total: int


class Deleted(Guarded, frozen=True, kw_only=True):
    """The conversation as it was, and what deleting it did to its answers."""

    conversation: Conversation
    ended: tuple[Ended, ...] = ()
    stopping: tuple[Stopping, ...] = ()


class Feedback(Guarded, frozen=True, kw_only=True, tag="feedback"):
    """What its reader thinks of a message; `rating` is up, down, or 1–5 as a digit."""

    message: str
    conversation: str
    rating: str
    comment: str | None
    updated_at: int


class Answered(Guarded, frozen=True, kw_only=True):
    """What a message has beyond its text if it is an answer; unfinished, most is empty."""

    state: RunState
    attempt: int
    outcome: Outcome | None
    finish_reason: FinishReason | None
    model: str | None
    provider: str | None
    spent: Spent
    citations: Json
    sources: Json
    error: Failure | None


class Message(Guarded, frozen=True, kw_only=True):
    """A message in its tree: `siblings` are all children of its parent, oldest first."""

    conversation: str
    id: str
    parent: str | None
    siblings: tuple[str, ...]
    role: Role
    content: str
    metadata: Json
    attachments: tuple[str, ...]
    number: int
    created_at: int
    answered: Answered | None = None
    tools: tuple[ToolCall, ...] = ()
    feedback: Feedback | None = None


class Branch(Guarded, frozen=True, kw_only=True):
    """Messages of one branch, oldest first; `more` if it goes on above."""

    leaf: str | None
    messages: tuple[Message, ...]
    more: bool


class Unfinished(Guarded, frozen=True, kw_only=True):
    """An answer that has not ended, with its checkpointed text: up to `answer.seq` of its epoch."""

    answer: Answer
    text: str
    citations: Json
    tools: tuple[ToolCall, ...]


class Said(Guarded, frozen=True, kw_only=True):
    """A message as a model is shown it."""

    role: Role
    content: str


class Thread(Guarded, frozen=True, kw_only=True):
    """What was said down to a message, oldest first; `more` if it goes on above.

    `model` and `system_prompt` are those of its conversation.
    """

    messages: tuple[Said, ...]
    more: bool
    model: str | None
    system_prompt: str | None


class Snapshot(Guarded, frozen=True, kw_only=True):
    """What a device is shown of a conversation, all of one moment.

    Read apart, an answer that ends in between would be in neither part with its text.
    """

    branch: Branch
    unfinished: tuple[Unfinished, ...]


class Standing(Guarded, frozen=True, kw_only=True):
    """Where a conversation stands, for a device that has all that was said: no text, one query.

    `commits` is the number of its last one. `stored` has the answers of which there was text here
    when the log stood where the device does, or in an epoch before, and how much: so many units a
    snapshot may have shown it, though the log told them later.
    """

    leaf: str | None
    commits: int
    unfinished: tuple[Answer, ...]
    stored: dict[str, int]


class Opening(Guarded, frozen=True, kw_only=True):
    """What a new epoch of a conversation's log is opened with, all of one snapshot.

    `rows`: the epoch need not tell of commits up to this number, for whoever attaches finds them in
    SQL. It stops before an end that holds its place and has yet to happen.
    """

    rows: int
    unfinished: tuple[Unfinished, ...]


class CommitKind(StrEnum):
    """What a commit made or changed."""

    MESSAGE = "message"
    COMPLETE = "complete"
    CONVERSATION = "conversation"
    FEEDBACK = "feedback"


class Commit(Guarded, frozen=True, kw_only=True):
    """One thing that a conversation's log has to tell, with the row as it is now."""

    number: int
    kind: CommitKind
    row: Message | Ended | Conversation | Feedback
