"""The conversation log on Redis: every step one script, every delivery a message with the entries.

A stream is read only where a delivery is missing. See `storage.log` for what each method promises,
and the scripts beside this for how.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from protocol.types import Epoch, Id, Position, Seq
from storage.errors import Unavailable
from storage.ids import monotonic_ms
from storage.log import (
    ENDED_REMEMBERED,
    Append,
    Appended,
    Checkpoint,
    Lost,
    Refusal,
    Refused,
    Registered,
    Retention,
    Sink,
    Slice,
)
from storage.redis import pages
from storage.redis.followed import Followed, Follower
from storage.redis.link import Argument, Link
from storage.redis.names import bucket
from storage.redis.scripts import Script

T = TypeVar("T")
Keys: TypeAlias = list[str]

OPEN = Script("open", shares="common")
FENCE = Script("fence", shares="common")
APPEND = Script("append", shares="common")
CHECKPOINT = Script("checkpoint", shares="common")
HEADS = Script("heads", shares="common")
DROP = Script("drop")

# What one call may carry: Redis does nothing else meanwhile, and a call has its time-out.
APPENDS_AT_ONCE = 500
BYTES_AT_ONCE = 4 << 20
CONVERSATIONS_AT_ONCE = 500
LOOKS_AT_ONCE = 2  # so that one at thousands of heads holds up nobody who asks for one

# source, fence, ordinal, the epoch and seq that the writer knows, and what it ends
_Append: TypeAlias = tuple[str, int, int, Epoch, Seq, str]

_encode = msgspec.msgpack.Encoder().encode


class RedisLog:
    """An EventLog that any number of instances share."""

    def __init__(
        self,
        link: Link,
        retention: Retention | None = None,
        clock: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._link = link
        self._retention = retention or Retention()
        self._followed = Followed(link, self._look, clock)
        kept = self._retention
        self._limits: tuple[Argument, ...] = (
            kept.entries,
            kept.age_ms,
            kept.idle_ms,
            ENDED_REMEMBERED,
            link.publish,
        )
        self._asked: set[Id] | None = None  # heads, by who waits for the next call
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._quarter_ms = self._retention.idle_ms // 4

    @property
    def reachable(self) -> bool:
        """Whether the last calls were answered."""
        return self._link.reachable

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    async def open(
        self, conversation: Id, instead_of: Epoch | None, rows: int, fences: Mapping[Id, int]
    ) -> Position | None:
        """See `EventLog.open`."""
        arguments: list[Argument] = [
            instead_of or "",
            secrets.token_hex(8),
            rows,
            self._retention.idle_ms,
            self._link.publish,
            self._channel(conversation),
        ]
        for source, fence in fences.items():
            arguments += (source, fence)
        found = await self._link.call(OPEN, self._keys(conversation), arguments)
        return _position(found)

    async def fence(
        self, conversation: Id, epoch: Epoch, source: Id, fence: int
    ) -> Registered | Refused:
        """See `EventLog.fence`."""
        found = await self._link.call(
            FENCE, self._keys(conversation), [epoch, source, fence, self._retention.idle_ms]
        )
        return _refused(found) if found[0] else Registered(found[1], found[2] or None)

    async def append(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        """See `EventLog.append`; one call for all, in a Cluster one per bucket."""
        results: list[Appended | Refused] = [Refused(Refusal.UNAVAILABLE)] * len(batch)
        groups: dict[int, dict[Id, list[int]]] = {}
        for place, asked in enumerate(batch):
            group = groups.setdefault(self._group(asked.conversation), {})
            group.setdefault(asked.conversation, []).append(place)
        await asyncio.gather(*(self._append(batch, each, results) for each in groups.values()))
        return results

    async def _append(
        self,
        batch: Sequence[Append],
        group: Mapping[Id, Sequence[int]],
        results: list[Appended | Refused],
    ) -> None:
        for places in _portions(batch, group):
            appends: dict[Id, list[_Append]] = {}
            for place in places:
                asked = batch[place]
                appends.setdefault(asked.conversation, []).append(_packed(asked))
            keys = self._all_keys(appends)
            asked_of = [(self._channel(each), those) for each, those in appends.items()]
            entries = [_encode((e.source, e.ordinal, e.body)) for e in (batch[p] for p in places)]
            arguments = [*self._limits, _encode(asked_of), *entries]
            try:
                found = await self._link.call(APPEND, keys, arguments)
            except Unavailable:
                return  # what comes after it waits for it
            for place, result in zip(places, found, strict=True):
                results[place] = _appended(result)

    async def checkpoint(self, batch: Sequence[Checkpoint]) -> None:
        """See `EventLog.checkpoint`."""
        stored: dict[Id, list[Checkpoint]] = {}
        for each in batch:
            stored.setdefault(each.conversation, []).append(each)

        async def tell(conversations: Sequence[Id]) -> None:
            arguments: list[Argument] = [self._retention.idle_ms]
            for conversation in conversations:
                arguments.append(len(stored[conversation]))
                for each in stored[conversation]:
                    arguments += (each.source, each.epoch, each.seq)
            await self._link.call(CHECKPOINT, self._all_keys(conversations), arguments)

        await asyncio.gather(*map(tell, self._pages(stored)))

    async def drop(self, conversations: Collection[Id]) -> None:
        """See `EventLog.drop`."""

        async def tell(page: Sequence[Id]) -> None:
            channels = [self._channel(each) for each in page]
            await self._link.call(DROP, self._all_keys(page), [self._link.publish, *channels])

        await asyncio.gather(*map(tell, self._pages(conversations)))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def heads(self, conversations: Collection[Id]) -> Mapping[Id, Position | None]:
        """See `EventLog.heads`; what is followed here is kept alive by it.

        Thousands ask for one each when they come back at once: who asks in the same turn of the
        loop, or while others are answered, shares a call.
        """
        if self._asked is None:
            answer = self._link.start(self._heads_of_all_who_ask())
            if answer is None:
                return {}
            self._asked, self._answer = set(conversations), answer
        else:
            self._asked.update(conversations)
        found = await asyncio.shield(self._answer)
        return {each: found[each] for each in conversations if each in found}

    async def _heads_of_all_who_ask(self) -> Mapping[Id, Position | None]:
        await asyncio.sleep(0)
        async with self._looks:
            asked, self._asked = self._asked or set(), None
            return await self._heads(asked, self._followed.due(asked, self._quarter_ms))

    async def _heads(
        self, conversations: Collection[Id], used: Collection[Id]
    ) -> Mapping[Id, Position | None]:
        found: dict[Id, Position | None] = {}
        used = frozenset(used)

        async def look(page: Sequence[Id]) -> None:
            uses = [int(each in used) for each in page]
            arguments = [self._retention.idle_ms, *uses]
            try:
                heads = await self._link.call(HEADS, self._all_keys(page), arguments)
            except Unavailable:
                return
            found.update((each, _position(head)) for each, head in zip(page, heads, strict=True))

        await asyncio.gather(*map(look, self._pages(conversations)))
        self._followed.looked(found)
        return found

    async def read(self, conversation: Id, after: Position, limit: int) -> Slice | Lost:
        """See `EventLog.read`."""
        return await pages.read(self._link, self._keys(conversation), after, limit)

    async def follow(self, conversation: Id, sink: Sink) -> Follower:
        """See `EventLog.follow`."""
        return await self._followed.follow(conversation, sink)

    async def watched(self, conversations: Collection[Id]) -> Collection[Id]:
        """See `EventLog.watched`."""
        verb = "SHARDNUMSUB" if self._link.cluster else "NUMSUB"
        found: list[Id] = []

        async def look(page: Sequence[Id]) -> None:
            channels = [self._channel(each) for each in page]
            counts = await self._link.ask_of(channels[0], "PUBSUB", verb, *channels)
            found.extend(each for each, count in zip(page, counts[1::2], strict=True) if count)

        await asyncio.gather(*map(look, self._pages(conversations)))
        return found

    async def _look(
        self, conversations: Collection[Id], used: bool
    ) -> Mapping[Id, Position | None]:
        return await self._heads(conversations, conversations if used else ())

    # ── names ────────────────────────────────────────────────────────────────────────────────────

    def _keys(self, conversation: Id) -> Keys:
        of = self._link.names.of
        return [of("log", conversation), of("entries", conversation)]

    def _all_keys(self, conversations: Iterable[Id]) -> Keys:
        return [key for each in conversations for key in self._keys(each)]

    def _channel(self, conversation: Id) -> str:
        return self._link.names.of("live", conversation)

    def _group(self, conversation: Id) -> int:
        """What may travel together: all, or in a Cluster a bucket."""
        return bucket(conversation) if self._link.cluster else 0

    def _pages(self, conversations: Iterable[Id]) -> list[list[Id]]:
        groups: dict[int, list[Id]] = {}
        for each in conversations:
            groups.setdefault(self._group(each), []).append(each)
        return [page for group in groups.values() for page in _paged(group, CONVERSATIONS_AT_ONCE)]


def _paged(items: list[T], size: int) -> list[list[T]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _portions(batch: Sequence[Append], group: Mapping[Id, Sequence[int]]) -> Iterable[list[int]]:
    """Places of the batch in portions that one call may carry; a conversation's stay in order."""
    portion: list[int] = []
    size = 0
    for places in group.values():
        for place in places:
            length = len(batch[place].body)
            if portion and (len(portion) == APPENDS_AT_ONCE or size + length > BYTES_AT_ONCE):
                yield portion
                portion, size = [], 0
            portion.append(place)
            size += length
    if portion:
        yield portion


def _packed(asked: Append) -> _Append:
    seen = asked.seen
    return asked.source, asked.fence, asked.ordinal, seen.epoch, seen.seq, asked.ends or ""


def _position(found: Sequence[Any] | None) -> Position | None:
    return Position(found[0].decode(), found[1]) if found else None


def _appended(found: Sequence[Any]) -> Appended | Refused:
    if len(found) == 2:
        return Appended(found[1], repeated=bool(found[0]))
    return _refused(found)


def _refused(found: Sequence[Any]) -> Refused:
    reason, epoch, head, last = found
    at = Position(epoch.decode(), head) if epoch else None
    return Refused(Refusal(reason.decode()), at, last)
