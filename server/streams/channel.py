"""One conversation's live tail on this instance: read once, handed to all its followers here."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.frames.from_server import Presence, ServerFrame
from protocol.types import Position
from server.streams.entry import Shared, folded
from server.streams.options import Options
from server.streams.replay import Pass, Read, Replay, Step
from server.telemetry.logs import get_logger
from storage.errors import Unavailable
from storage.log import Delivery, EventLog, Following, Lost, Slice

UNANSWERED_PAUSE_S = 0.2  # half of it to one and a half: others wait for the same store

_log = get_logger()


class Follower(Protocol):
    """Who follows a conversation from a position on; none of its methods may block or raise."""

    def take(self, entries: Sequence[Shared], *, live: bool) -> None:
        """The next entries, without a hole; those that were missed come at once, not `live`."""

    def lose(self) -> None:
        """Its position is no place in the log any more; it was let go, and needs a snapshot.

        When it has one, or has given up, it leaves.
        """

    def tell(self, frame: ServerFrame) -> None:
        """Something beside the log: `typing`, `presence`."""


class Channel:
    """Made by `Hub`, one for each conversation that somebody here follows.

    `lose` has a follower told that it is lost, at once or when there is time.
    """

    def __init__(
        self,
        conversation: str,
        log: EventLog,
        options: Options,
        closed: Callable[["Channel"], None],
        lose: Callable[[Follower], None],
    ) -> None:
        self.conversation = conversation
        self._counted = 0  # followers that were last told how many they are
        self._log = log
        self._options = options
        self._closed = closed
        self._tell_lost = lose
        self._replay: Replay | None = None
        self._early: list[Delivery] | None = None  # while it is looked where the log stands
        self._level: dict[Follower, None] = {}
        self._joining: set[Follower] = set()
        self._uncounted: set[Follower] = set()  # of those who join: they missed the last number
        self._following: Following | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        """Name the conversation and how many follow it."""
        return f"<Channel {self.conversation} followers={self.followers}>"

    @property
    def followers(self) -> int:
        """How many follow it here."""
        return len(self._level) + len(self._joining)

    @property
    def position(self) -> Position | None:
        """Where its live tail stands; None: it has not begun, or has ended."""
        return self._replay.position if self._replay else None

    async def join(self, follower: Follower, after: Position) -> None:
        """Hand over what was missed, and from then on what comes.

        The follower may be let go meanwhile, by `leave` or by `lose`.
        """
        self._joining.add(follower)
        try:
            missed = await self._missed(follower, after)
        except _Gone:
            if follower in self._joining:
                self.leave(follower)
                self._tell_lost(follower)
            else:
                self._close_if_alone()
            return
        except Unavailable:
            if follower in self._joining:
                self.leave(follower)
                raise
            self._close_if_alone()
            return
        except BaseException:
            self.leave(follower)
            raise
        if follower not in self._joining:
            self._close_if_alone()
            return
        # No await from here on: nothing can come between what was missed and what is live.
        self._joining.discard(follower)
        self._level[follower] = None
        if missed:
            self._hand(follower, missed, live=False)
        if follower in self._uncounted:
            self._uncounted.discard(follower)
            follower.tell(self._presence())

    def leave(self, follower: Follower) -> None:
        """It follows no more."""
        self._level.pop(follower, None)
        self._joining.discard(follower)
        self._uncounted.discard(follower)
        self._close_if_alone()

    def tell(self, frame: ServerFrame, but: Follower | None = None) -> None:
        """Say something beside the log to all followers here, `but` one."""
        for follower in tuple(self._level):
            if follower is not but:
                follower.tell(frame)

    def count(self, elsewhere: int = 0) -> None:
        """Tell followers how many they are, if that changed; not one who is alone and was."""
        sockets = self.followers + elsewhere
        if sockets == self._counted:
            return
        alone = max(self._counted, sockets) == 1
        self._counted = sockets
        if not alone:
            self.tell(self._presence())
            self._uncounted |= self._joining

    def lose(self) -> None:
        """What its followers were told may not be so any more: they need snapshots, all of them."""
        followers = [*self._level, *self._joining]
        self._level.clear()
        self._joining.clear()
        self._uncounted.clear()
        self._close()
        for follower in followers:
            self._tell_lost(follower)

    def check(self, asked: Position, head: Position | None) -> None:
        """What a look at the log's head means; `asked` is `position` of when it was asked for."""
        if self._replay is not None:
            self._act(self._replay.checked(asked, head))

    def _presence(self) -> Presence:
        return Presence(conversation=self.conversation, sockets=self._counted)

    async def _missed(self, follower: Follower, after: Position) -> list[Shared]:
        """Read from the follower's position up to where the live tail stands."""
        missed: list[Shared] = []
        while follower in self._joining:
            live = await self._begun()
            if live.epoch != after.epoch:
                raise _Gone
            if live.seq == after.seq:
                break
            if live.seq < after.seq:  # it knows of more than was delivered here
                await self._catch_up(live, after)
                continue
            # Not past the tail: what lies behind it is still to come, and would come twice.
            page = min(self._options.page, live.seq - after.seq)
            answer = await self._log.read(self.conversation, after, page)
            if isinstance(answer, Lost) or not answer.entries:
                raise _Gone
            missed += map(Shared, folded(answer.entries))
            after = Position(after.epoch, answer.entries[-1].seq)
        return missed

    async def _catch_up(self, live: Position, after: Position) -> None:
        """Read what was not delivered; `_Gone` if the log does not have it either."""
        head = await self._head()
        if head is None or head < after:
            raise _Gone
        self.check(live, head)
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _begun(self) -> Position:
        """Where the live tail stands; the first to ask begins it."""
        async with self._opening:
            if self._replay is None:
                await self._open()
            live = self.position
            if live is None:
                raise _Gone
            return live

    async def _open(self) -> None:
        """Subscribe first, then look where the log stands: what comes behind that is delivered.

        It may be delivered before the look is answered.
        """
        if self._following is None:
            self._following = await self._log.follow(self.conversation, self._hear)
        self._early = []
        try:
            head = await self._head()
            if head is None:
                raise _Gone
            self._replay = Replay(head, self._options.hold_bytes)
            self._act(self._replay.stored(Slice((), head.seq)))
            for delivery in self._early:
                self._hear(delivery)
        finally:
            self._early = None

    async def _head(self) -> Position | None:
        heads = await self._log.heads([self.conversation])
        if self.conversation not in heads:
            raise Unavailable("the log is out of reach")
        return heads[self.conversation]

    def _hear(self, delivery: Delivery) -> None:
        if self._replay is not None:
            self._act(self._replay.live(delivery))
        elif self._early is not None:
            self._early.append(delivery)

    def _act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Pass():
                    shared = [Shared(entry) for entry in step.entries]
                    for follower in tuple(self._level):
                        self._hand(follower, shared, live=True)
                case Read():
                    self._reading = asyncio.create_task(self._read(step))
                case Lost():
                    self.lose()

    def _hand(self, follower: Follower, entries: Sequence[Shared], *, live: bool) -> None:
        try:
            follower.take(entries, live=live)
        except Exception as error:  # noqa: BLE001 - it must not hurt others, nor the log's writers
            _log.error("a follower failed", conversation=self.conversation, exc_info=error)
            self.leave(follower)
            self._tell_lost(follower)

    async def _read(self, step: Read) -> None:
        replay = self._replay
        while self._replay is replay and replay is not None:
            try:
                answer = await self._log.read(self.conversation, step.after, self._options.page)
            except Unavailable:
                spread = 0.5 + random.random()  # noqa: S311 - no secret
                await asyncio.sleep(UNANSWERED_PAUSE_S * spread)
                continue
            except Exception as error:  # noqa: BLE001 - a read that never ends would silence them
                _log.error("a log was not read", conversation=self.conversation, exc_info=error)
                if self._replay is replay:
                    self.lose()
                return
            if self._replay is replay:
                self._act(replay.stored(answer))
            return

    def _close_if_alone(self) -> None:
        if not self.followers:
            self._close()

    def _close(self) -> None:
        self._replay = None
        if self._following is not None:
            self._following.close()
            self._following = None
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        self._reading = None
        self._closed(self)


class _Gone(Exception):
    """The position is no place in the log."""
