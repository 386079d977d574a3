"""Everything this instance has to do with conversation logs: what it writes and whom it tells."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

from protocol.frames.from_server import ServerFrame
from protocol.text import utf16_length
from protocol.types import Position
from server.streams.channel import Channel, Follower
from server.streams.comebacks import Comebacks
from server.streams.company import Company
from server.streams.known import Known
from server.streams.options import Options
from server.streams.pump import Pump
from server.streams.rows import Rows
from server.streams.stream import Stream
from server.streams.writer import Writer
from storage.bus import Bus
from storage.errors import Fenced, StorageError, Unavailable
from storage.log import ROWS, EventLog, Lost, Refusal, Registered, Slice
from storage.records import Answer, Commit, Sent
from storage.store import Internal

OVERDUE_MS = 5_000
OVERDUE_AT_ONCE = 100
EPOCHS_TRIED = 3
MEND_PAUSE_S = 1.0  # half of it to one and a half: every writer waits for the same store
COUNTED_AT_ONCE = 2_000  # each costs a word to other instances; the rest waits a second
CHECKED_AT_ONCE = 100  # positions, before others have their turn

# For logs: what went wrong, in which conversation (None: in none of them).
Report = Callable[[str | None, BaseException], None]


class Hub:
    """Logs, as the rest of the server uses them; `run` must be running meanwhile."""

    def __init__(
        self,
        log: EventLog,
        store: Internal,
        bus: Bus,
        report: Report,
        options: Options | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._report = report
        self._options = options or Options()
        self._streams = Known(self._options.idle_streams)
        self._followed: dict[str, Channel] = {}
        self._recount: dict[str, None] = {}  # where followers came or went, here or elsewhere
        self._company = Company(bus, self._tell_here, self._count_again)
        self._comebacks = Comebacks()
        self._rows = Rows(log, store.outbox, self._open)
        self._pump = Pump(log, self._mend, self._options)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    async def position(self, tenant: str, conversation: str) -> Position:
        """Where the log stands; an epoch is opened if none is open."""
        stream = self._streams.of(tenant, conversation)
        head = (await self._log.heads([conversation])).get(conversation)
        if head is None:
            return await self._open(stream, None)
        stream.seen(head)
        return head

    async def begin(self, tenant: str, sent: Sent) -> tuple[Position, bool]:
        """The place before the rows of a message that was committed while no epoch was open.

        False: another opened one meanwhile, from a reading that has the rows, and tells them not.
        """
        stream = self._streams.of(tenant, sent.conversation)
        rows, fences = sent.numbers[0] - 1, {sent.answer: sent.fence}
        if not sent.created:
            opening = await self._store.answers.opening(tenant, sent.conversation)
            rows = min(rows, opening.rows)
            fences = {each.answer.id: each.answer.fence for each in opening.unfinished}
        position = await self._log.open(sent.conversation, None, rows, fences)
        if position is None:
            raise Unavailable("the log was dropped while it began")
        stream.seen(position)
        if position.seq == 0 and stream.told is None:
            stream.told = rows
        return position, stream.told is not None and stream.told < sent.numbers[0]

    async def tell(self, tenant: str, conversation: str, known: Sequence[Commit] = ()) -> None:
        """Tell all rows not yet told, in commit order; what fails is told by the sweeper.

        `known` are rows committed just now, which need not be read then.
        """
        stream = self._streams.of(tenant, conversation)
        try:
            async with stream.telling:
                await self._rows.tell(stream, known)
        except StorageError as error:
            self._report(conversation, error)

    async def writer(self, answer: Answer) -> Writer:
        """The way into the log for who owns the answer now; `Fenced` if that is another.

        Its row is told before it says anything; where that fails, it may not speak yet.
        """
        stream = self._streams.of(answer.tenant, answer.conversation)
        if stream.told is None or stream.told < answer.number:
            async with stream.telling:
                await self._rows.tell(stream, ())
        position = stream.position or await self._open(stream, None)
        position, ordinal = await self._register(stream, answer, position)
        writer = Writer(answer, position, ordinal, self._pump)
        stream.writers[answer.id] = writer
        return writer

    def done(self, writer: Writer) -> None:
        """Its answer has ended, is parked, or is another's."""
        stream = self._streams.get(writer.answer.conversation)
        if stream is not None and stream.writers.get(writer.answer.id) is writer:
            stream.advanced(writer.position)
            del stream.writers[writer.answer.id]
            self._streams.touch(stream)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def head(self, conversation: str) -> Position | None:
        """Where the log stands; None: no epoch is open. Opens none, so anybody's id may come."""
        return (await self._log.heads([conversation])).get(conversation)

    async def read(self, conversation: str, after: Position, limit: int) -> Slice | Lost:
        """The next entries after a position."""
        return await self._log.read(conversation, after, limit)

    async def before_row(self, conversation: str, number: int) -> Position | None:
        """The place before a row was told; None: not in what the log still has."""
        head = await self.head(conversation)
        if head is None:
            return None
        after: Position | None = Position(head.epoch, 0)
        while after is not None:
            page = await self._log.read(conversation, after, self._options.page)
            if isinstance(page, Lost):
                again = Position(head.epoch, page.oldest)
                after = again if again > after else None
                continue
            for entry in page.entries:
                if entry.source == ROWS and entry.ordinal == number:
                    return Position(head.epoch, entry.seq - 1)
            after = Position(head.epoch, page.entries[-1].seq) if page.entries else None
        return None

    async def join(
        self, tenant: str, conversation: str, follower: Follower, after: Position
    ) -> None:
        """Bring a follower level from its position, and keep it so until it leaves or is lost."""
        stream = self._streams.of(tenant, conversation)
        channel = stream.channel
        if channel is None:
            closed = partial(self._unfollowed, stream)
            channel = Channel(conversation, self._log, self._options, closed, self._comebacks.lose)
            stream.channel = self._followed[conversation] = channel
            self._company.enter(conversation)
        try:
            await channel.join(follower, after)
        finally:
            self._count_again(conversation)

    def leave(self, conversation: str, follower: Follower) -> None:
        """It follows no more, or as another."""
        channel = self._channel(conversation)
        if channel is not None:
            channel.leave(follower)
            self._count_again(conversation)
        self._comebacks.left(follower)

    def aside(self, conversation: str, frame: ServerFrame, but: Follower | None = None) -> None:
        """Say something beside the log to all followers, wherever they are, `but` one."""
        self._tell_here(conversation, frame, but)
        self._company.say(conversation, frame)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Carry appends to the log until cancelled."""
        await self._pump.run()

    async def sweep(self) -> None:
        """Each second: mark and tell what was not, count who follows, forget what lies idle."""
        try:
            await self._rows.flush()
            overdue = await self._store.outbox.overdue(
                older_than_ms=OVERDUE_MS, limit=OVERDUE_AT_ONCE
            )
        except StorageError as error:
            self._report(None, error)
            overdue = []
        for tenant, conversation in overdue:
            await self.tell(tenant, conversation)
        self._count()
        self._streams.forget()

    async def check(self) -> None:
        """Each `check_s`: whether followed logs moved on without a word."""
        asked = {
            conversation: position
            for conversation, channel in self._followed.items()
            if (position := channel.position) is not None
        }
        if not asked:
            return
        heads = await self._log.heads(list(asked))
        for number, (conversation, head) in enumerate(heads.items(), 1):
            channel = self._channel(conversation)
            if channel is not None:
                channel.check(asked[conversation], head)
            if not number % CHECKED_AT_ONCE:
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Leave nothing untold that SQL could be told."""
        with suppress(StorageError):
            await self._rows.flush()

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _channel(self, conversation: str) -> Channel | None:
        stream = self._streams.get(conversation)
        return None if stream is None else stream.channel

    def _tell_here(
        self, conversation: str, frame: ServerFrame, but: Follower | None = None
    ) -> None:
        channel = self._channel(conversation)
        if channel is not None:
            channel.tell(frame, but)

    def _count_again(self, conversation: str) -> None:
        self._recount[conversation] = None

    def _count(self) -> None:
        """Tell followers how many they are, and other instances how many are here."""
        self._company.look()
        for conversation in list(islice(self._recount, COUNTED_AT_ONCE)):
            del self._recount[conversation]
            channel = self._channel(conversation)
            self._company.tell(conversation, channel.followers if channel else 0)
            if channel is not None:
                channel.count(self._company.elsewhere(conversation))

    def _unfollowed(self, stream: Stream, channel: Channel) -> None:
        if stream.channel is channel:
            stream.channel = None
            del self._followed[stream.conversation]
            self._count_again(stream.conversation)
            self._streams.touch(stream)

    async def _open(self, stream: Stream, instead_of: str | None) -> Position:
        """Open an epoch from one reading of SQL, or learn which one another has opened."""
        for _ in range(EPOCHS_TRIED):
            opening = await self._store.answers.opening(stream.tenant, stream.conversation)
            fences = {each.answer.id: each.answer.fence for each in opening.unfinished}
            position = await self._log.open(stream.conversation, instead_of, opening.rows, fences)
            if position is not None:
                fresh = stream.position is None or stream.position.epoch != position.epoch
                stream.seen(position)
                if fresh and position.seq == 0:
                    stream.told = opening.rows
                return position
            instead_of = None
        raise Unavailable("the log is lost faster than it is opened")

    async def _register(
        self, stream: Stream, answer: Answer, position: Position
    ) -> tuple[Position, int]:
        for _ in range(EPOCHS_TRIED):
            result = await self._log.fence(
                answer.conversation, position.epoch, answer.id, answer.fence
            )
            if isinstance(result, Registered) and result.end is None:
                return position, result.last
            if isinstance(result, Registered) or result.reason is not Refusal.EPOCH:
                break
            if result.position is None:
                position = await self._open(stream, None)
            else:
                position = result.position
                stream.seen(position)
        raise Fenced(f"answer {answer.id!r}", answer.fence)

    async def _mend(self, writer: Writer, refusal: Refusal) -> None:
        """An append was refused: another epoch, or another owner."""
        answer = writer.answer
        stream = self._streams.of(answer.tenant, answer.conversation)
        if refusal in (Refusal.FENCED, Refusal.ENDED):
            writer.lose()
            return
        try:
            stale = writer.position.epoch
            head = await self.head(answer.conversation)
            if head is None or head.epoch == stale:
                await self._open(stream, None if head is None else stale)
            said = await self._said(writer)
            position = await self.position(answer.tenant, answer.conversation)
            position, ordinal = await self._register(stream, answer, position)
            if utf16_length(said) < writer.unsaved().start:  # a checkpoint came in between
                said = await self._said(writer)
        except Fenced:
            writer.lose()
        except StorageError as error:
            self._report(answer.conversation, error)
            pause = MEND_PAUSE_S * (0.5 + random.random())  # noqa: S311 - no secret
            asyncio.get_running_loop().call_later(pause, self._pump.ready, writer)
        else:
            writer.renew(position, ordinal, said)

    async def _said(self, writer: Writer) -> str:
        """What SQL has of an answer's text; `Fenced` if it is another's, or has ended."""
        answer = writer.answer
        opening = await self._store.answers.opening(answer.tenant, answer.conversation)
        for each in opening.unfinished:
            if (each.answer.id, each.answer.fence) == (answer.id, answer.fence):
                return each.text
        raise Fenced(f"answer {answer.id!r}", answer.fence)
