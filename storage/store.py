"""What storage demands of whoever keeps rows: order, atomicity, idempotence.

`Store` has two halves. What a person's request can reach takes the `Owner` first, and filters by
tenant and owner in its own SQL: a stranger's id, a deleted and a missing one are the same
`NotFound`. What only the server calls stands under `Store.internal`, takes no owner, and must never
be handed an id that a person named without having been looked up by the other half.

For all of it: a method is one transaction, committed when it returns. Any method may raise
`Overloaded` (nothing was done) or `Unavailable` (with `outcome_unknown`, look before repeating).
What a `Once` goes with is done once per owner and id, however often and from however many places
it is asked for at the same time; the same id with another body or purpose is `IdConflict`.
"""

from collections.abc import Sequence
from typing import Protocol

from protocol.types import Position, ToolState
from storage.accounts import (
    Act,
    AuditEntry,
    Key,
    NewRenewal,
    Renewal,
    Rotation,
    Site,
    Tenant,
    User,
)
from storage.records import (
    Answer,
    Branch,
    Change,
    Changed,
    Checkpoint,
    Checkpointed,
    Commit,
    Conversation,
    ConversationPage,
    Created,
    Cursor,
    Decided,
    Deleted,
    Edit,
    Ended,
    Ending,
    Feedback,
    Heartbeat,
    Held,
    Listing,
    Message,
    NewConversation,
    NewToolCall,
    Opening,
    Regenerate,
    Send,
    Sent,
    Snapshot,
    Standing,
    Stopped,
    Tail,
    Thread,
    ToolCall,
)
from storage.values import Json, Once, Owner
from storage.work import Expense, Job, JobState, NewJob, Progress, Schedule, SpentBy, SumBy

# Conversations. With 40 messages of 1 KB in each, about half a second on either engine.
SEARCHED = 500
SEARCH_S = 3.0  # for one of them that has far more in them

# ── for a person's request ───────────────────────────────────────────────────────────────────────


class Sending(Protocol):
    """Asking for answers, and stopping them."""

    async def send(self, owner: Owner, ask: Send) -> Sent:
        """Store a message and its answer-to-be, behind whatever the conversation is answering.

        The id is recognised before anything else could refuse, also after the answer ended, and
        for ever. Commit numbers of a conversation have no holes. With an incarnation and nothing
        ahead the answer is running and its own, with fence 1; else it is queued.

        `Busy` where `on_busy` says so. `interrupt` ends what waits and asks what runs to stop; the
        numbers of their ends come before this message's. Jobs are enqueued with the message.
        """

    async def regenerate(self, owner: Owner, ask: Regenerate) -> Sent:
        """The same for another answer to the same message."""

    async def edit(self, owner: Owner, ask: Edit) -> Sent:
        """The same for a message in the place of the person's own; `NotEditable` otherwise."""

    async def recall(self, owner: Owner, once: Once) -> Sent | None:
        """What an id got before, as `send` would give it again; None: the id is new.

        It changes nothing. A first use that is still under way is not seen.
        """

    async def stop(self, owner: Owner, answer: str) -> Stopped:
        """Stop an answer: at once if nobody runs it, else its owner is to end it.

        From now on it can end in no other way. On an answer that ended it changes nothing.
        """


class Conversations(Protocol):
    """Conversations themselves."""

    async def create(self, owner: Owner, once: Once, new: NewConversation) -> Created:
        """Make an empty one."""

    async def get(self, owner: Owner, conversation: str) -> Conversation:
        """As it is now."""

    async def list(
        self,
        owner: Owner,
        listing: Listing | None = None,
        *,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> ConversationPage:
        """The owner's; None: latest change first. One that changes between pages may be missed.

        A text is looked for in the `SEARCHED` conversations that changed last, as it is written but
        for the case of its letters, in any script and on every engine alike. It reads all that was
        said in them, the latest first and for `SEARCH_S`, so the caller bounds how many do so at
        once. `TooMuch` if that was not all of it, and nothing was found.
        """

    async def change(self, owner: Owner, conversation: str, change: Change) -> Changed:
        """Change what is set and differs, if anything does: one commit of kind `conversation`."""

    async def select(
        self, owner: Owner, once: Once, conversation: str, message: str
    ) -> Conversation:
        """Make the branch with this message the active one; a commit unless it was already.

        Below it, the newest child of each message is followed to the leaf.
        """

    async def delete(self, owner: Owner, conversation: str) -> Deleted:
        """Take it out of sight, and stop its answers as `stop` does."""


class History(Protocol):
    """Reading. Each method sees one snapshot, and costs no query per message."""

    async def branch(
        self,
        owner: Owner,
        conversation: str,
        *,
        leaf: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Branch:
        """The last `limit` messages that end in `leaf` (default: the active one), oldest first.

        With `before`, the ancestors of that message.
        """

    async def path(
        self, owner: Owner, conversation: str, *, leaf: str | None = None
    ) -> tuple[str, ...]:
        """The ids of a branch's messages, from its root down to `leaf` (default: the active one).

        For who wants to read or count a whole branch: ids alone, however long it is.
        """

    async def made(
        self, owner: Owner, conversation: str, *, after: int = 0, limit: int = 50
    ) -> tuple[Message, ...]:
        """Messages of all branches in the order they were made, from behind number `after` on."""

    async def snapshot(self, owner: Owner, conversation: str, *, limit: int = 50) -> Snapshot:
        """The active branch, and the answers that have not ended, in the order they run."""

    async def standing(self, owner: Owner, conversation: str, at: Position) -> Standing:
        """The active leaf, the last commit, and the answers that have not ended, as they run.

        For a device that stands at that place of the log.

        One statement: when many devices come back at once, this is what each of them costs.
        """

    async def message(self, owner: Owner, message: str) -> Message:
        """One message."""

    async def answer(self, owner: Owner, answer: str) -> Answer:
        """One answer, as whoever wants to follow or repeat it needs it."""

    async def answer_to(self, owner: Owner, message: str) -> Answer | None:
        """The newest answer to one message, or None."""


class Tools(Protocol):
    """A person's part in tool calls."""

    async def decide(
        self, owner: Owner, once: Once, call: str, *, args_hash: str, allow: bool
    ) -> Decided:
        """Allow or deny the call with exactly these arguments.

        Decided once: the same again is the same result, the contrary or other arguments are
        `DecidedOtherwise`, too late is `ApprovalExpired`. Allowed, the call is `requested`.
        """

    async def tool_result(
        self, owner: Owner, once: Once, call: str, *, failed: bool, result: str
    ) -> Decided:
        """What a tool came to that the client ran; counted once, errors as `decide`."""


class Opinions(Protocol):
    """Feedback."""

    async def save(
        self,
        owner: Owner,
        once: Once,
        message: str,
        *,
        rating: str,
        comment: str | None = None,
        conversation: str | None = None,
    ) -> Feedback:
        """The owner's opinion of a message replaces the one before; one commit each time.

        `conversation`: the message must be of that one.
        """


class Spending(Protocol):
    """What a person has used up."""

    async def spent(self, owner: Owner, *, since: int) -> SpentBy:
        """The sum of the owner's expenses from that moment on."""


# ── for the server alone ─────────────────────────────────────────────────────────────────────────


class InternalAnswers(Protocol):
    """Answers, for those who run them. Every change is a compare-and-set that one caller wins."""

    async def get(self, tenant: str, answer: str) -> Answer | None:
        """As it is now."""

    async def opening(self, tenant: str, conversation: str) -> Opening:
        """What a new epoch of a log is opened with, also where the conversation was deleted."""

    async def thread(self, tenant: str, conversation: str, leaf: str, *, limit: int) -> Thread:
        """The last `limit` messages that end in `leaf`, bare, and the conversation's prompt."""

    async def of_shut_out(self, *, limit: int = 100) -> list[Answer]:
        """Answers that have not ended nor been told to, and whose owners are disabled.

        Of one conversation the last comes first, so that who stops them lets none move up.
        """

    async def claim(self, tenant: str, answer: str, incarnation: str) -> Answer | None:
        """Run a queued answer, if every earlier one of its conversation ended. The fence rises.

        None: it is not its turn, or another was faster.
        """

    async def park(
        self,
        held: Held,
        transcript: Json,
        tail: Tail | None = None,
        *,
        model: str | None = None,
        provider: str | None = None,
    ) -> Answer | None:
        """Let go of a running answer that waits for a person. The fence rises, nobody owns it.

        `model` and `provider` are what was asked last: whoever stops it cannot know.
        None: a stop was asked for, so end it instead. `Fenced` for any other holder.
        """

    async def resume(self, tenant: str, answer: str, incarnation: str) -> Answer | None:
        """Run a parked answer. The fence rises. None: it is not parked, or another was faster."""

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> list[Checkpointed]:
        """Append text to many running answers in one transaction, one checkpoint per answer.

        Each stands for itself: one that is refused refuses no other. Text is appended only where
        the stored text ends; a repeated checkpoint is stored once. In the order of the batch.
        """

    async def reset(self, held: Held, *, attempt: int) -> int:
        """Give up that attempt's text and begin the next, whose number is returned.

        Its open tool calls are closed as `end` closes them. Asked for again, the same number.
        """

    async def end(self, held: Held, how: Ending) -> Ended:
        """End a running answer, once.

        Its message's text becomes the last attempt's pieces and the tail. Its open tool calls are
        closed: what ran is `unknown`, the others `expired`. A stop that was asked for decides the
        outcome. A second call by the same holder gets the first one's end, with
        `fresh` false; any other holder is `Fenced`. Expenses are counted once by their keys.
        """


class Outbox(Protocol):
    """What logs have yet to be told. Commits stand in the order in which their log tells them.

    A commit is told before any later one of its conversation. The end of an answer may hold its
    place before it happens; until then nothing behind it is told.
    """

    async def overdue(
        self, *, older_than_ms: int, limit: int, after: tuple[str, str] | None = None
    ) -> list[tuple[str, str]]:
        """(tenant, conversation) of those with commits that age which could be told by now.

        In their order, from the next one `after` that on.
        """

    async def unlogged(self, tenant: str, conversation: str, *, limit: int) -> list[Commit]:
        """What is to be told next, oldest first, each with its row as it is now."""

    async def mark_logged(self, batch: Sequence[tuple[str, str, int]]) -> None:
        """Of each (tenant, conversation, number), all up to that number was told.

        A crash may undo the marks: telling again does no harm.
        """


class Ownership(Protocol):
    """Who lives, by the database's clock, and whose answers may be taken."""

    async def register(self, incarnation: str, instance: str) -> Heartbeat:
        """A process began; before it claims anything. Who was silent for a day is forgotten."""

    async def beat(self, incarnation: str) -> Heartbeat:
        """It lives. Coming after it could be taken for dead, or after the database's clock was set
        back, the beat starts a new unbroken time.

        `NotFound`: it was forgotten, or the database is restored from before it began, and it
        must begin anew under another id.
        """

    async def leave(self, incarnation: str) -> None:
        """It ends and holds nothing any more; what it does hold can be taken at once."""

    async def living(self) -> list[Heartbeat]:
        """Whose heartbeat is not stale, oldest first."""

    async def orphans(
        self, taker: str, *, limit: int = 100, proof_of_death: bool = False
    ) -> list[Answer]:
        """Running answers of the dead, then queued ones whose turn it is and nobody claimed.

        With proof of death (a lock only the living can hold) everybody but the taker is dead.
        """

    async def held_by(self, incarnation: str) -> list[Answer]:
        """Running answers that are its own, oldest first.

        One that it does not run it got by a `send`, `claim`, `resume` or `take_over` whose outcome
        it never learnt. It has to run or end it: while it lives, nobody else will.
        """

    async def resumable(self, *, limit: int = 100) -> list[Answer]:
        """Parked answers none of whose tool calls waits for anybody."""

    async def take_over(
        self, seen: Answer, taker: str, *, proof_of_death: bool = False
    ) -> Answer | None:
        """Own a running answer that is still as seen: same owner, same fence. The fence rises.

        Only if the owner's heartbeat is stale and the taker's is fresh and was unbroken for longer
        than that. None: not so, or another was faster.
        """


class InternalTools(Protocol):
    """Tool calls, for those who run answers."""

    async def create(self, held: Held, call: NewToolCall) -> ToolCall:
        """Store a call of a running answer; one with that id already stored is left as it is."""

    async def advance(
        self,
        held: Held,
        call: str,
        *,
        seen: ToolState,
        state: ToolState,
        result: str | None = None,
    ) -> ToolCall:
        """Move a call from the state seen to the next; the same holder may ask for it again.

        `Conflict` in any other case: so a call goes from `requested` to `running` once, and who
        takes the answer over does not run what may have run already.
        """

    async def of_answer(self, tenant: str, answer: str) -> tuple[ToolCall, ...]:
        """In the order they were asked for."""

    async def expire(self, *, limit: int = 100) -> list[ToolCall]:
        """Close calls that waited for a person or a client for too long."""


class InternalFeedback(Protocol):
    """Feedback, for reports."""

    async def since(
        self, tenant: str, moment: int, *, after: str = "", limit: int = 100
    ) -> list[Feedback]:
        """From (moment, message) on, oldest first."""


class InternalUsage(Protocol):
    """Expenses."""

    async def record(
        self, owner: Owner, expenses: Sequence[Expense], *, conversation: str | None = None
    ) -> None:
        """Count expenses whose keys are new, for the conversation too."""

    async def sums(
        self, tenant: str, by: Sequence[SumBy], *, since: int, until: int
    ) -> list[SpentBy]:
        """Expenses of [since, until), grouped and sorted by what is asked for."""


class Jobs(Protocol):
    """Work in the background, at least once each; handlers make repetition harmless."""

    async def enqueue(self, new: Sequence[NewJob]) -> tuple[str, ...]:
        """Queue them; the ids of those that no open job of the same `dedupe` stands for."""

    async def lease(
        self,
        kinds: Sequence[str],
        holder: str,
        *,
        limit: int,
        lease_ms: int,
        tenant: str | None = None,
    ) -> list[Job]:
        """Take due jobs, longest due first. No job has two leases that stand.

        One that is not done, failed, renewed or released in time comes due again; after its last
        attempt it is dead.
        """

    async def renew(self, job: Job, *, lease_ms: int, progress: Progress | None = None) -> None:
        """Keep it for that long from now, and tell how far it is. `Fenced`: the lease is lost."""

    async def done(self, job: Job) -> None:
        """Close it. `Fenced`: the lease is lost, and another's work counts."""

    async def fail(self, job: Job, error: str, *, chance: float) -> JobState:
        """Try again after a backoff, spread by `chance` in [0, 1), or bury it. `Fenced` as `done`.

        A person may read the error.
        """

    async def release(self, job: Job) -> None:
        """Give it back untried: due at once, no attempt counted. `Fenced` as `done`."""

    async def get(self, id: str, *, tenant: str | None = None) -> Job:
        """As it is now. Without a tenant, here and below, those of all: for the operator alone."""

    async def dead(
        self, *, tenant: str | None = None, after: str = "", limit: int = 100
    ) -> list[Job]:
        """Jobs that wait for a person, by id."""

    async def retry(self, id: str, *, tenant: str | None = None) -> Job:
        """Give a dead job all its attempts again. `Conflict`: an open job stands for it."""

    async def prune(self, *, older_than_ms: int) -> None:
        """Forget jobs done that long ago; dead ones stay."""

    async def schedule(self, schedules: Sequence[Schedule]) -> None:
        """Make these known, or change them; when a known one runs next is left as it is."""

    async def tick(self) -> tuple[str, ...]:
        """Enqueue what is due: one caller wins each time, and a job still open is not doubled."""


class Audit(Protocol):
    """An append-only chain per tenant."""

    async def append(self, tenant: str, act: Act) -> int:
        """Write down an act; numbers have no holes."""

    async def entries(self, tenant: str, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
        """In order, behind the number given."""

    async def verify(self, tenant: str) -> int | None:
        """The first number at which the chain is not what was written; None: it is whole."""

    async def forget(self, tenant: str, person: str) -> None:
        """Nothing tells any more who stands behind that person's pseudonym."""


class Accounts(Protocol):
    """Tenants, sites, users, keys. Putting the same twice is putting it once."""

    async def put_tenant(self, tenant: Tenant) -> None:
        """Make or replace it."""

    async def tenant(self, id: str) -> Tenant | None:
        """As it is now."""

    async def tenants(self) -> list[Tenant]:
        """By id."""

    async def put_site(self, site: Site) -> None:
        """Make or replace it."""

    async def site_by_key(self, public_key: str) -> Site | None:
        """The site that the widget's key names."""

    async def sites(self, tenant: str) -> list[Site]:
        """By id."""

    async def origins(self) -> frozenset[str]:
        """Of all sites that are served, whoever's they are."""

    async def put_user(self, user: User) -> User:
        """Make or update a person; what is None, and `disabled` and `sessions_from`, stay."""

    async def user(self, tenant: str, id: str) -> User | None:
        """As it is now."""

    async def user_by_login(self, tenant: str, email: str) -> User | None:
        """Who signs in with that address and a password; its case does not matter."""

    async def disable_user(self, tenant: str, id: str, *, disabled: bool) -> User:
        """Shut out or let in again; either way the tokens of before are void."""

    async def end_sessions(self, tenant: str, id: str) -> User:
        """Void the tokens of before."""

    async def ended_since(self, moment: int) -> list[User]:
        """Whose tokens of before were voided then or later, in that order."""

    async def disabled(self) -> list[User]:
        """Who is shut out, of all tenants."""

    async def become(self, tenant: str, visitor: str, user: str) -> None:
        """What a visitor said, sent and used is the user's from now on, ids included.

        The visitor's tokens of before are void: what their sockets follow is the user's, too.
        """

    async def add_key(self, key: Key) -> None:
        """Make an API key known."""

    async def key_by_hash(self, hash: str) -> Key | None:
        """The key, unless it is revoked or expired."""

    async def keys(self, tenant: str) -> list[Key]:
        """All of them, by id."""

    async def revoke_key(self, tenant: str, id: str) -> None:
        """For ever."""


class Renewals(Protocol):
    """Secrets by which visitors come back, each good for one use."""

    async def add(self, new: NewRenewal, *, life_ms: int) -> Renewal:
        """The first secret of a new family."""

    async def rotate(
        self, shown: NewRenewal, *, next: str, life_ms: int, grace_ms: int
    ) -> tuple[Rotation, Renewal | None]:
        """Put the hash `next` in the place of the one shown, if that is the current one.

        One caller wins. The secret before the current one is granted too for as long as the grace,
        for an answer that got lost, and changes nothing: whoever asks names the same `next`. Any
        other secret of the family ends the family. Tenant, site and Origin must be the family's.
        """

    async def prune(self) -> None:
        """Forget what expired."""


class Internal(Protocol):
    """What no person's id may reach unchecked."""

    answers: InternalAnswers
    outbox: Outbox
    ownership: Ownership
    tools: InternalTools
    feedback: InternalFeedback
    usage: InternalUsage
    jobs: Jobs
    audit: Audit
    accounts: Accounts
    renewals: Renewals


class Store(Protocol):
    """Everything kept in rows."""

    sending: Sending
    conversations: Conversations
    history: History
    tools: Tools
    feedback: Opinions
    usage: Spending
    internal: Internal
