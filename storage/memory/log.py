"""The conversation log of a single process: the executable meaning of `storage.log`.

No method awaits anything, so each is one atomic step by nature.
"""

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence

from protocol.types import Epoch, Id, Position, Seq
from storage.ids import monotonic_ms
from storage.log import (
    ENDED_REMEMBERED,
    ROWS,
    Append,
    Appended,
    Checkpoint,
    Delivery,
    Doubt,
    Entry,
    Following,
    Live,
    Loss,
    Lost,
    Refusal,
    Refused,
    Registered,
    Retention,
    Sink,
    Slice,
)


class MemoryLog:
    """An EventLog whose clients are all in this process; its sinks run inside `append`.

    `clock` gives milliseconds that never go back.
    """

    def __init__(
        self, retention: Retention | None = None, clock: Callable[[], int] = monotonic_ms
    ) -> None:
        self._retention = retention or Retention()
        self._clock = clock
        # Least recently used first, so that what has expired stands in front.
        self._lives: OrderedDict[Id, _Life] = OrderedDict()
        self._subscriptions: dict[Id, list[_Subscription]] = {}

    async def open(
        self, conversation: Id, instead_of: Epoch | None, rows: int, fences: Mapping[Id, int]
    ) -> Position | None:
        now = self._clock()
        self._forget_expired(now)
        life = self._lives.get(conversation)
        if (life.epoch if life else None) == instead_of:
            life = _Life(secrets.token_hex(8), rows, fences, now)
            self._lives[conversation] = life
            self._lives.move_to_end(conversation)
            self._tell(conversation, Doubt())
        return life.position if life else None

    async def fence(
        self, conversation: Id, epoch: Epoch, source: Id, fence: int
    ) -> Registered | Refused:
        life = self._use(conversation, self._clock())
        if life is None or life.epoch != epoch:
            return Refused(Refusal.EPOCH, life.position if life else None)
        return life.fence(source, fence)

    async def append(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        now = self._clock()
        results: list[Appended | Refused] = []
        fresh: dict[Id, list[Entry]] = {}
        for asked in batch:
            life = self._use(asked.conversation, now)
            result = life.append(asked, now) if life else Refused(Refusal.EPOCH)
            results.append(result)
            if life and isinstance(result, Appended) and not result.repeated:
                life.trim(self._retention, now)
                if asked.conversation in self._subscriptions:
                    fresh.setdefault(asked.conversation, []).append(life.entries[result.seq])
        for conversation, entries in fresh.items():
            self._tell(conversation, Live(self._lives[conversation].epoch, tuple(entries)))
        return results

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> None:
        now = self._clock()
        for stored in batch:
            life = self._use(stored.conversation, now)
            if life and life.epoch == stored.epoch:
                life.checkpoint(stored.source, stored.seq)

    async def heads(self, conversations: Collection[Id]) -> Mapping[Id, Position | None]:
        now = self._clock()
        lives = {each: self._present(each, now) for each in conversations}
        return {each: life.position if life else None for each, life in lives.items()}

    @property
    def reachable(self) -> bool:
        """It is in this process."""
        return True

    async def watched(self, conversations: Collection[Id]) -> Collection[Id]:
        return [each for each in conversations if each in self._subscriptions]

    async def read(self, conversation: Id, after: Position, limit: int) -> Slice | Lost:
        life = self._present(conversation, self._clock())
        return life.read(after, limit) if life else Lost(Loss.NO_LOG)

    async def follow(self, conversation: Id, sink: Sink) -> Following:
        if self._use(conversation, self._clock()) is None:
            self._lives.pop(conversation, None)  # expired: being followed brings nothing back
        subscription = _Subscription(conversation, sink, self._unfollow)
        self._subscriptions.setdefault(conversation, []).append(subscription)
        return subscription

    async def drop(self, conversations: Collection[Id]) -> None:
        for conversation in conversations:
            self._lives.pop(conversation, None)
            self._tell(conversation, Doubt())

    def _present(self, conversation: Id, now: int) -> "_Life | None":
        life = self._lives.get(conversation)
        if life is None or conversation in self._subscriptions:
            return life
        return None if life.expired(self._retention, now) else life

    def _use(self, conversation: Id, now: int) -> "_Life | None":
        life = self._present(conversation, now)
        if life:
            life.used = now
            self._lives.move_to_end(conversation)
        return life

    def _forget_expired(self, now: int) -> None:
        # At each opening, so memory cannot grow faster than this frees it; nothing wakes for it.
        while self._lives:
            conversation, life = next(iter(self._lives.items()))
            if not life.expired(self._retention, now):
                break
            if self._use(conversation, now) is None:  # else it is followed, and goes to the end
                del self._lives[conversation]

    def _unfollow(self, subscription: "_Subscription") -> None:
        conversation = subscription.conversation
        self._use(conversation, self._clock())
        others = self._subscriptions[conversation]
        others.remove(subscription)
        if not others:
            del self._subscriptions[conversation]

    def _tell(self, conversation: Id, delivery: Delivery) -> None:
        # A copy: a sink may close its own subscription or another.
        for subscription in tuple(self._subscriptions.get(conversation, ())):
            subscription.deliver(delivery)


class _Subscription:
    __slots__ = ("_closed", "_sink", "conversation")

    def __init__(
        self, conversation: Id, sink: Sink, closed: Callable[["_Subscription"], None]
    ) -> None:
        self.conversation = conversation
        self._sink: Sink | None = sink
        self._closed = closed

    def deliver(self, delivery: Delivery) -> None:
        if self._sink is not None:
            self._sink(delivery)

    def close(self) -> None:
        if self._sink is not None:
            self._sink = None
            self._closed(self)


class _Source:
    __slots__ = ("end", "fence", "last")

    def __init__(self, fence: int, last: int = 0) -> None:
        self.fence = fence
        self.last = last
        self.end: Seq | None = None


class _Life:
    """One epoch of one conversation's log."""

    __slots__ = ("_ended", "_pins", "_sources", "_times", "entries", "epoch", "head", "used")

    def __init__(self, epoch: Epoch, rows: int, fences: Mapping[Id, int], now: int) -> None:
        self.epoch = epoch
        self.head: Seq = 0
        self.entries: dict[Seq, Entry] = {}  # a page costs its own size, wherever it lies
        self.used = now
        self._times: deque[int] = deque()  # when each of them came
        self._sources = {source: _Source(fence) for source, fence in fences.items()}
        self._sources[ROWS] = _Source(fence=0, last=rows)
        self._pins: dict[Id, Seq] = {}  # unfinished answers with entries: kept after this seq
        self._ended: list[Id] = []

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.head)

    @property
    def _oldest(self) -> Seq:
        """The seq after which everything is stored."""
        return self.head - len(self.entries)

    def expired(self, retention: Retention, now: int) -> bool:
        return 0 < retention.idle_ms < now - self.used

    def fence(self, name: Id, fence: int) -> Registered | Refused:
        source = self._sources.setdefault(name, _Source(fence))
        if fence < source.fence:
            return self._refused(Refusal.FENCED, source)
        source.fence = fence
        return Registered(source.last, source.end)

    def append(self, asked: Append, now: int) -> Appended | Refused:
        source = self._sources.get(asked.source)
        if asked.seen.epoch != self.epoch:
            return self._refused(Refusal.EPOCH, source)
        if asked.seen.seq > self.head:
            return self._refused(Refusal.ROLLED_BACK, source)
        if source is None or source.fence != asked.fence:
            return self._refused(Refusal.FENCED, source)
        if source.end is not None and asked.ends == asked.source:
            return Appended(source.end, repeated=True)
        if asked.ordinal <= source.last:
            seq = self._seq_of(asked.source, asked.ordinal)
            return Appended(seq, repeated=True) if seq else self._refused(Refusal.FORGOTTEN, source)
        if source.end is not None:
            return self._refused(Refusal.ENDED, source)
        if asked.ordinal > source.last + 1:
            return self._refused(Refusal.GAP, source)
        self._store(asked, source, now)
        return Appended(self.head)

    def checkpoint(self, source: Id, seq: Seq) -> None:
        if source in self._pins:
            self._pins[source] = max(self._pins[source], min(seq, self.head))

    def read(self, after: Position, limit: int) -> Slice | Lost:
        oldest = self._oldest
        if after.epoch != self.epoch:
            return Lost(Loss.EPOCH, self.position, oldest)
        if after.seq > self.head:
            return Lost(Loss.AHEAD, self.position, oldest)
        if after.seq < oldest:
            return Lost(Loss.TRIMMED, self.position, oldest)
        page = range(after.seq + 1, min(after.seq + limit, self.head) + 1)
        rows = self._sources[ROWS].last
        return Slice(tuple(self.entries[seq] for seq in page), self.head, rows)

    def trim(self, retention: Retention, now: int) -> None:
        kept_after = min(self._pins.values(), default=self.head)
        while self._oldest < kept_after and (
            0 < retention.entries < len(self.entries) or 0 < retention.age_ms < now - self._times[0]
        ):
            del self.entries[self._oldest + 1]
            self._times.popleft()

    def _store(self, asked: Append, source: _Source, now: int) -> None:
        self.head += 1
        source.last = asked.ordinal
        self.entries[self.head] = Entry(self.head, asked.source, asked.ordinal, asked.body)
        self._times.append(now)
        if asked.source != ROWS:
            self._pins.setdefault(asked.source, self.head - 1)
        if asked.ends is not None:
            self._end(asked.ends)

    def _end(self, name: Id) -> None:
        # An answer that never spoke here is ended too: a slow owner may yet try to register it.
        source = self._sources.setdefault(name, _Source(fence=0))
        if source.end is not None:
            return
        source.end = self.head
        self._pins.pop(name, None)
        self._ended.append(name)
        if len(self._ended) > ENDED_REMEMBERED:
            del self._sources[self._ended.pop(0)]

    def _seq_of(self, source: Id, ordinal: int) -> Seq | None:
        # Only for what is asked again, and that lies near the end.
        for entry in reversed(self.entries.values()):
            if entry.source == source and entry.ordinal == ordinal:
                return entry.seq
        return None

    def _refused(self, reason: Refusal, source: _Source | None) -> Refused:
        return Refused(reason, self.position, source.last if source else 0)
