"""The logs that are followed here, and whether what is stored in them is heard.

A subscription may be deaf though its connection lives. Each look at the heads tells of entries; if
those are not heard within a second, the channel is subscribed to anew.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, TypeAlias

import msgspec

from protocol.types import Epoch, Id, Position
from storage.log import Delivery, Doubt, Entry, Live, Sink
from storage.redis.ears import Hearing
from storage.redis.link import Link

CONFIRMED_WITHIN_S = 2.0
HEARD_WITHIN_S = 1.0
ASKED_AGAIN_S = 0.5

# Looks at heads, and at each of them counts as a use of the log or not.
Look: TypeAlias = Callable[
    [Collection[Id], bool], Coroutine[Any, Any, Mapping[Id, Position | None]]
]

# Broken UTF-8 raises outside msgspec's own tree.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)

_MESSAGE = msgspec.msgpack.Decoder(tuple[Epoch, list[tuple[int, tuple[str, int, bytes]]]] | None)


class Follower:
    """One sink's subscription."""

    def __init__(self, sink: Sink, closed: Callable[["Follower"], None]) -> None:
        self._sink = sink
        self._closed: Callable[[Follower], None] | None = closed

    def deliver(self, delivery: Delivery) -> None:
        """Hand it on, unless closed meanwhile."""
        if self._closed is not None:
            self._sink(delivery)

    def close(self) -> None:
        """See `storage.log.Following`."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)


class _Log:
    """One followed log."""

    __slots__ = ("doubtful", "followers", "heard", "hearing", "used_at")

    def __init__(self) -> None:
        self.followers: list[Follower] = []
        self.hearing: Hearing | None = None
        self.heard: Position | None = None  # up to where; None: nothing that counts
        self.doubtful = False  # more may have been stored than was heard
        self.used_at: int | None = None  # following is a use, and the first look says so

    def tell(self, delivery: Delivery) -> None:
        for follower in tuple(self.followers):
            follower.deliver(delivery)

    def lacks(self, head: Position | None) -> bool:
        """Whether entries up to there, in that epoch, were not heard."""
        if head is None or self.heard is None:
            return False
        return self.heard.epoch != head.epoch or self.heard.seq < head.seq


class Followed:
    """All of them."""

    def __init__(self, link: Link, look: Look, clock: Callable[[], int]) -> None:
        self._link = link
        self._look = look
        self._clock = clock
        self._logs: dict[Id, _Log] = {}
        self._doubtful: dict[Id, None] = {}  # their subscriptions were interrupted
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looking = False  # at what is doubtful
        self._just_left: dict[Id, None] = {}

    async def follow(self, conversation: Id, sink: Sink) -> Follower:
        """Deliver to the sink what is stored from now on."""
        log = self._logs.get(conversation)
        if log is None:
            log = self._logs[conversation] = _Log()
            channel = self._link.names.of("live", conversation)
            log.hearing = self._link.ears.hear(channel, lambda data: self._hear(conversation, data))
        follower = Follower(sink, lambda one: self._left(conversation, one))
        log.followers.append(follower)
        try:
            assert log.hearing is not None, "made with it"
            await log.hearing.sure(CONFIRMED_WITHIN_S)
        except BaseException:
            follower.close()
            raise
        return follower

    def due(self, conversations: Collection[Id], after_ms: int) -> Collection[Id]:
        """Those that are followed and were not used so long; they count as used from now on."""
        now = self._clock()
        due = []
        for conversation in conversations:
            log = self._logs.get(conversation)
            if log is not None and (log.used_at is None or now - log.used_at >= after_ms):
                log.used_at = now
                due.append(conversation)
        return due

    def looked(self, heads: Mapping[Id, Position | None]) -> None:
        """So far the logs reach: what of that was not heard is late, or lost."""
        late: dict[Id, Position] = {}
        for conversation, head in heads.items():
            log = self._logs.get(conversation)
            if log is None:
                continue
            if head is not None and log.lacks(head):
                late[conversation] = head
            elif log.heard is None and not log.doubtful:
                log.heard = head
        if late:
            asyncio.get_running_loop().call_later(HEARD_WITHIN_S, self._mend, late)

    async def settled(self) -> None:
        """Wait until what was begun here is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hear(self, conversation: Id, data: bytes | None) -> None:
        log = self._logs.get(conversation)
        if log is None:
            return
        if data is None:
            log.doubtful = True
            self._doubtful[conversation] = None
            if not self._looking:
                self._looking = True
                self._own(self._look_at_doubtful())
            return
        try:
            message = _MESSAGE.decode(data)
        except _UNREADABLE:  # not ours, or of a version that this one does not know
            message = None
        if message is None or not message[1]:
            log.heard = None
            log.tell(Doubt())
            return
        epoch, told = message
        entries = tuple([Entry(seq, *entry) for seq, entry in told])
        head = Position(epoch, entries[-1].seq)
        if log.heard is None or log.lacks(head):
            log.heard = head
        log.tell(Live(epoch, entries))

    async def _look_at_doubtful(self) -> None:
        """Very many at once, if a connection was cut: only those that moved on have to read."""
        try:
            while doubtful := self._doubtful:
                # Whose subscription is interrupted meanwhile is looked at once more.
                self._doubtful = {}
                heads = await self._look(doubtful, False)
                for conversation, head in heads.items():
                    self._resolve(conversation, head)
                away = [each for each in doubtful if each not in heads and each in self._logs]
                if away:
                    self._doubtful.update(dict.fromkeys(away))
                    await asyncio.sleep(ASKED_AGAIN_S)
        finally:
            self._looking = False

    def _resolve(self, conversation: Id, head: Position | None) -> None:
        log = self._logs.get(conversation)
        if log is not None:
            log.doubtful = conversation in self._doubtful
            if log.heard != head:
                log.heard = head
                log.tell(Doubt())

    def _mend(self, late: Mapping[Id, Position]) -> None:
        for conversation, head in late.items():
            log = self._logs.get(conversation)
            if log is not None and log.hearing is not None and log.lacks(head):
                log.heard = head  # who follows reads what is missing, at the same looks
                log.hearing.again()

    def _left(self, conversation: Id, follower: Follower) -> None:
        log = self._logs[conversation]
        log.followers.remove(follower)
        if not log.followers:
            assert log.hearing is not None, "made with it"
            log.hearing.close()
            del self._logs[conversation]
            self._doubtful.pop(conversation, None)
            if not self._just_left:
                self._own(self._use_left())
            self._just_left[conversation] = None

    async def _use_left(self) -> None:
        """Being followed was a use until now. Of very many that leave together it is told once."""
        await asyncio.sleep(0)
        left, self._just_left = self._just_left, {}
        await self._look(left, True)

    def _own(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._link.start(work)
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
