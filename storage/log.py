"""The conversation log: the hot tail from which devices are brought level.

One log per conversation. Its entries carry `seq` 1, 2, 3 … within an *epoch*, one life of the log
with a random name. Bodies are encoded frames that the log never reads. SQL is the truth: a log that
is lost takes nothing acknowledged with it, and whoever needs it next opens a new epoch.

Every entry has a *source* and, there, an *ordinal* that counts without holes:

- an answer: ordinals from 1 in every epoch; its `fence` rises with each change of owner;
- ROWS, what the conversation's commits have to tell: ordinals are the commit numbers of SQL, the
  fence is 0. So who appends first appends the lower rows not yet logged (GAP says which), and a row
  appended by two stands there once.

What callers owe, so that no implementation has to guess:

1. Commit before append. What SQL does not have is never appended as a row.
2. An ordinal names one body within an epoch: who asks again asks with the same bytes, and while an
   append of a source is unanswered its later ones wait or travel behind it in the same batch.
3. `seen` is the highest position this instance knows, be it from a result, a delivery, a read or
   SQL. A log that stands below it was rolled back, and a seq must not be given twice: who is told
   so opens a new epoch.
4. SQL may go back too, when a backup is restored. Then the log tells commits that are none, and
   their numbers are given anew: who finds another row at a row's ordinal, or an end of an answer
   that SQL has not ended, opens a new epoch.
5. Who meets a new epoch reads SQL before it goes on. If its fence stands there it calls `fence`
   (the epoch may have been opened from an older reading) and counts its ordinals from what that
   returns, with a `seen` of that epoch; else it stops.

What implementations owe beside the word of each method: every append, `open` and `fence` is one
atomic step, seen alike by all clients; all may be asked again after a reply that did not come. A
store that notices by itself that it may have gone back (it restarted, another replica was promoted)
treats every epoch from before as not open, since only a loss that some caller's `seen` spans can be
told from the positions.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

from protocol.types import MAX_SAFE_INTEGER, Epoch, Id, Position, Seq

# The source of the conversation's rows; no Id can spell it, so no answer can be called so.
ROWS: Final = "*"

# Ended answers that an epoch remembers, the latest to end; older ones are as unknown as strangers.
# Late requests are seconds old, so this is far more than they need, and yet a bound.
ENDED_REMEMBERED: Final = 256


class Retention(Struct, frozen=True, kw_only=True):
    """How long entries stay; what an unfinished answer has not checkpointed stays in any case.

    `idle_ms` bounds what a silent conversation costs. It must be far above the second between two
    checkpoints, because it takes the whole log, unfinished answers and all.
    """

    entries: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Frames that a conversation's log keeps; 0: not bounded by number.",
        ),
    ] = 4096
    age_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="Milliseconds after which a frame leaves its log, at the next append; "
            "0: not bounded by age.",
        ),
    ] = 10 * 60_000
    idle_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="Milliseconds after which a silent conversation's log is given up, since "
            "its last open, fence, append or checkpoint, or since nobody follows it; 0: never.",
        ),
    ] = 60 * 60_000


class Entry(Struct, frozen=True, gc=False):
    """What the log keeps. Reprs leave bodies out: they are what people wrote."""

    seq: Seq
    source: Id
    ordinal: int
    body: bytes

    def __repr__(self) -> str:
        return f"Entry({self.seq}, {self.source!r}, {self.ordinal}, {len(self.body)} bytes)"


class Append(Struct, frozen=True):
    """One append; `ends` names the answer whose last entry this is: its own source, or a row's."""

    conversation: Id
    source: Id
    fence: int
    ordinal: int
    body: bytes
    seen: Position
    ends: Id | None = None

    def __repr__(self) -> str:
        return (
            f"Append({self.conversation!r}, {self.source!r}, fence={self.fence}, "
            f"ordinal={self.ordinal}, {len(self.body)} bytes, seen={self.seen}, ends={self.ends!r})"
        )


class Appended(Struct, frozen=True):
    """It is stored at `seq`; `repeated`: it already was, and nothing was done."""

    seq: Seq
    repeated: bool = False


class Refusal(StrEnum):
    """Why nothing was stored, in the order in which it is examined."""

    EPOCH = "epoch"  # no epoch is open, or another than `seen` names
    ROLLED_BACK = "rolled_back"  # the head is below `seen`: open a new epoch
    FENCED = "fenced"  # the source is unknown here, or has another fence
    FORGOTTEN = "forgotten"  # the ordinal is taken, and its entry trimmed or from before the epoch
    ENDED = "ended"  # the source has ended
    GAP = "gap"  # the ordinals after `last` are missing
    UNAVAILABLE = "unavailable"  # no reply: whether it was stored is not known, so ask again


class Refused(Struct, frozen=True):
    """It was not stored. `last` is the source's last ordinal, 0 of an unknown source."""

    reason: Refusal
    position: Position | None = None  # where the log stands; None: nowhere, or UNAVAILABLE
    last: int = 0


class Registered(Struct, frozen=True):
    """The source has this fence now; a taker counts on from `last`, and not at all after `end`."""

    last: int
    end: Seq | None = None


class Checkpoint(Struct, frozen=True):
    """What `source` appended up to `seq` stands in SQL, so the log need not keep it."""

    conversation: Id
    epoch: Epoch
    source: Id
    seq: Seq


class Slice(Struct, frozen=True):
    """Entries in order of `seq` without a hole, and where the log stood when they were read.

    `rows` is the last ordinal of ROWS by then. SQL read behind it that has fewer commits has gone
    back behind the log.
    """

    entries: tuple[Entry, ...]
    head: Seq
    rows: int = 0


class Loss(StrEnum):
    """Why a log cannot go on from a position."""

    NO_LOG = "no_log"  # no epoch is open: never was, expired, dropped or lost
    EPOCH = "epoch"  # the position is of another epoch
    TRIMMED = "trimmed"  # entries after the position are gone
    AHEAD = "ahead"  # the head is below it: the log was rolled back, open a new epoch


class Lost(Struct, frozen=True):
    """The position is lost.

    Reading after `oldest` gives all that is stored. That includes whatever an unfinished answer has
    not checkpointed, so with SQL it is enough to bring anybody level.
    """

    reason: Loss
    position: Position | None = None  # where the log stands; None with NO_LOG
    oldest: Seq = 0


class Live(Struct, frozen=True):
    """Entries just stored, in order of `seq`; others may lie between them."""

    epoch: Epoch
    entries: tuple[Entry, ...]


class Doubt(Struct, frozen=True):
    """More than entries: a new epoch, a drop, deliveries lost. Reading tells what there is now."""


Delivery = Live | Doubt
Sink = Callable[[Delivery], None]


class Following(Protocol):
    """One sink's subscription."""

    def close(self) -> None:
        """The sink is not called again. Closing twice is closing once."""


class EventLog(Protocol):
    """The logs of all conversations.

    All but `append` and `heads` raise `errors.Unavailable` when the store is out of reach; what was
    asked may then have been done, and may be asked again.
    """

    async def open(
        self, conversation: Id, instead_of: Epoch | None, rows: int, fences: Mapping[Id, int]
    ) -> Position | None:
        """Starts an epoch at head 0 if the present one is `instead_of`; None means none is open.

        Otherwise nothing changes. Either way the result is where the log stands now, so of two
        openers one makes the epoch and both learn it. `rows` is the commit number after which the
        epoch tells, and `fences` are the unfinished answers, both of one SQL snapshot
        (`Opening`) taken after the loss was learnt. Every entry of the epoch before is gone, and
        followers get a Doubt.

        The result is None if no epoch is open though `instead_of` named one: the log was lost again
        or erased since SQL was read, so read SQL anew and ask with None.
        """

    async def fence(
        self, conversation: Id, epoch: Epoch, source: Id, fence: int
    ) -> Registered | Refused:
        """Registers an answer, or raises its fence; from then on a lower one appends nothing.

        The same fence again changes nothing, a lower one is FENCED, another epoch than the present
        one is EPOCH. What earlier owners appended counts: ordinals go on after `last`. A taker
        reads the log after this call, not before.
        """

    async def append(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        """Appends what stands, and says of each, in the order of the batch, what became of it.

        Each is one atomic step: check, next `seq`, store, publish. Those of one conversation take
        effect in the order of the batch, others in any. A refused one stops none but those after
        its own gap. An ordinal that is already stored gives its `seq` again: of an answer, whatever
        lies after its checkpoint; of any source, whatever is not trimmed. An append that ends its
        own source gives the stored end, if there is one, whatever its ordinal.

        `ends` makes every later append of that answer ENDED, also if this log has not heard of it.
        """

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> None:
        """Lets the log trim what SQL has. Only forwards; of a past epoch or an end, no effect.

        Entries of an answer are kept from its first one, or its checkpoint, until its end.
        """

    async def heads(self, conversations: Collection[Id]) -> Mapping[Id, Position | None]:
        """Where each log stands; None: no epoch is open. What was out of reach is left out.

        This and `read` do not count as use of a log, but of what this client itself follows: that
        does not expire as long as it is looked at each quarter of `idle_ms`. Who keeps expiry in a
        store of its own puts it off as seldom as that, for thousands of silent followers must not
        turn into thousands of writes at each look.
        """

    @property
    def reachable(self) -> bool:
        """False: the store did not answer, or took nothing, when last asked. A hint, no promise."""

    async def watched(self, conversations: Collection[Id]) -> Collection[Id]:
        """Which of these logs somebody follows, through whichever client."""

    async def read(self, conversation: Id, after: Position, limit: int) -> Slice | Lost:
        """The next entries after a position: at most `limit`, at least one if there is one.

        Fewer than `limit` says nothing; compare the last `seq` with `head`. Whatever was delivered
        to anyone before the call is counted in `head`.
        """

    async def follow(self, conversation: Id, sink: Sink) -> Following:
        """Hands to `sink` what is stored from now on, after it is stored.

        Deliveries are hints: they may be lost, doubled or out of order, and may come before the
        append that made them has returned. So follow first, then read; a hole is filled by reading.
        `sink` must neither block nor raise. A log that expires tells nobody; one that is followed
        does not expire, if `heads` is asked for it in time.
        """

    async def drop(self, conversations: Collection[Id]) -> None:
        """Erases whole logs and leaves no trace; followers get a Doubt.

        A late append finds no epoch and brings nothing back. A late `open` could, as an empty log
        until it idles away: erase in SQL first, and drop again after the longest time-out.
        """
