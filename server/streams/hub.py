"""Everything this instance has to do with conversation logs: what it writes and whom it tells."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

from protocol.frames.from_server import ServerFrame
from protocol.types import Position, Seq
from server.streams.channel import Channel, Follower
from server.streams.comebacks import Comebacks
from server.streams.company import Company
from server.streams.entering import Entering
from server.streams.epochs import Epochs
from server.streams.known import Known
from server.streams.options import Options
from server.streams.pump import Pump
from server.streams.rows import Rows
from server.streams.stream import Stream
from server.streams.writer import Writer
from storage.bus import Bus
from storage.errors import Fenced, StorageError, Unavailable
from storage.log import ROWS, Entry, EventLog, Lost, Refusal, Slice
from storage.records import Answer, Commit, Sent
from storage.store import Internal

OVERDUE_MS = 5_000
OVERDUE_AT_ONCE = 100
NOBODYS = "-"  # no conversation has this id
MEND_PAUSE_S = 1.0  # half of it to one and a half: every writer waits for the same store
COUNTED_AT_ONCE, TURNS_OF_COUNTING = 100, 20  # each is a word to others; the rest waits a second
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
        self._written: dict[str, Stream] = {}
        self.doubts = 0  # see `doubt`
        self._one_was_lost = False  # and perhaps others with it
        self._swept: tuple[str, str] | None = None  # so far the overdue ones were told
        self._epochs = Epochs(log, store)
        self._rows = Rows(log, store.outbox, self._epochs)
        self._entering = Entering(log, store, self._streams, self._epochs, self._rows)
        self._pump = Pump(log, self._mend, self._options)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    async def position(self, tenant: str, conversation: str) -> Position:
        """Where the log stands; an epoch is opened if none is open."""
        stream = self._streams.of(tenant, conversation)
        head = await self.head(conversation)
        if head is None:
            return await self._epochs.open(stream, None)
        stream.seen(head)
        return head

    async def begin(self, tenant: str, sent: Sent) -> Position | None:
        """A place before the rows of a message that was committed while no epoch was open.

        None: another opened one meanwhile, and told them there or never will.
        """
        return await self._epochs.begin(self._streams.of(tenant, sent.conversation), sent)

    async def tell(self, tenant: str, conversation: str, known: Sequence[Commit] = ()) -> None:
        """Tell all rows not yet told, in commit order; what fails is told by the sweeper.

        `known` are rows committed just now, which need not be read then.
        """
        try:
            await self._tell(tenant, conversation, known)
        except StorageError as error:
            self._report(conversation, error)

    async def writer(self, answer: Answer) -> Writer:
        """The way into the log for who owns the answer now; `Fenced` if that is another.

        Its row is told before it says anything; where that fails, it may not speak yet. Where the
        log is in an epoch that has nothing of it, what it said before is told first.
        """
        stream = self._streams.of(answer.tenant, answer.conversation)
        position, ordinal = await self._entering.enter(stream, answer)
        retold = bool(answer.length) and not ordinal
        said = (await self._entering.said(answer)).text if retold else ""
        writer = Writer(answer, position, ordinal, self._pump)
        if said:
            writer.renew(position, ordinal, said)
        stream = self._streams.of(answer.tenant, answer.conversation)  # it may be another by now
        stream.writers[answer.id] = writer
        self._written[answer.conversation] = stream
        return writer

    async def renew(self, tenant: str, conversation: str, epoch: str) -> None:
        """In the place of an epoch that told what SQL has not, one that does not."""
        await self._epochs.open(self._streams.of(tenant, conversation), epoch)

    def doubt(self) -> None:
        """The database has gone back, to a backup: what was known of it and told may not be so.

        Who joins with a position of before `doubts` rose wants a snapshot instead.
        """
        self.doubts += 1
        self._rows.doubt()
        for stream in self._streams.values():
            stream.doubt()
        for channel in tuple(self._followed.values()):
            channel.lose()

    async def begin_anew(self, writer: Writer) -> None:
        """In the place of an epoch of which nobody knows what it told, one that is told all."""
        writer.moving = True
        try:
            await self._entering.move(writer, Refusal.FORGOTTEN)
        finally:
            writer.moving = False

    def done(self, writer: Writer) -> None:
        """Its answer has ended, is parked, or is another's."""
        stream = self._streams.get(writer.answer.conversation)
        if stream is not None and stream.writers.get(writer.answer.id) is writer:
            stream.advanced(writer.position)
            del stream.writers[writer.answer.id]
            if not stream.writers:
                self._written.pop(stream.conversation, None)
            self._streams.touch(stream)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def head(self, conversation: str) -> Position | None:
        """Where the log stands; None: no epoch is open. Opens none, so anybody's id may come.

        `Unavailable` if the log cannot be asked.
        """
        head = await self._epochs.head(conversation)
        self._compare(conversation, head)
        self._notice(conversation, head)
        return head

    async def demand(self) -> None:
        """`Unavailable` if it is known that the log cannot be asked or written to, and still so.

        What is not known yet is met behind the commit: such a message is kept, for SQL is the
        promise, and its id finds it when it is sent again.
        """
        if not self._log.reachable:
            await self._epochs.head(NOBODYS)
            if not self._log.reachable:
                raise Unavailable("the log takes nothing more")

    async def read(self, conversation: str, after: Position, limit: int) -> Slice | Lost:
        """The next entries after a position."""
        return await self._log.read(conversation, after, limit)

    async def before_row(self, conversation: str, number: int) -> Position | None:
        """A place before a row is told; None: not in what the log still has.

        It is looked for from the end on: who repeats a request has mostly just made it.
        """
        head = await self.head(conversation)
        if head is None:
            return None
        page = await self._log.read(conversation, head, 1)
        if isinstance(page, Lost):
            return None
        if page.rows < number:  # it is to be told yet
            return head
        end = page.head  # it may have been told just now
        while end > 0:
            begin = max(0, end - self._options.page)
            entries = await self._between(conversation, Position(head.epoch, begin), end)
            rows = {entry.ordinal: entry.seq for entry in entries if entry.source == ROWS}
            if number in rows:
                return Position(head.epoch, rows[number] - 1)
            if not entries or entries[0].seq > begin + 1 or any(told < number for told in rows):
                return None
            end = begin
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
        overdue: Sequence[tuple[str, str]] = ()
        try:
            await self._rows.flush()
            if self._log.reachable:  # else nothing can be told
                overdue = await self._store.outbox.overdue(
                    older_than_ms=OVERDUE_MS, limit=OVERDUE_AT_ONCE, after=self._swept
                )
                # What cannot be told, as of a node that is away, keeps nobody else's place.
                self._swept = overdue[-1] if len(overdue) == OVERDUE_AT_ONCE else None
        except StorageError as error:
            self._report(None, error)
        reported = False
        for tenant, conversation in overdue:
            try:
                await self._tell(tenant, conversation, ())
            except StorageError as error:  # a log that is away fails all of them, each second
                if not reported:
                    self._report(conversation, error)
                reported = True
        await self._count()
        self._streams.forget()
        if self._one_was_lost:
            self._one_was_lost = False
            await self.check()

    async def check(self) -> None:
        """Each `check_s`: whether logs that are followed or written moved on without a word.

        Where one was found lost, within a second: what lost it may have lost them all.
        """
        asked = {
            conversation: position
            for conversation, channel in self._followed.items()
            if (position := channel.position) is not None
        }
        wanted = iter(dict.fromkeys([*asked, *self._written]))
        while some := list(islice(wanted, CHECKED_AT_ONCE)):
            for conversation, head in (await self._log.heads(some)).items():
                channel = self._channel(conversation)
                if channel is not None and conversation in asked:
                    channel.check(asked[conversation], head)
                self._notice(conversation, head)

    async def stop(self) -> None:
        """Leave nothing untold that SQL could be told."""
        with suppress(StorageError):
            await self._rows.flush()

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    async def _tell(self, tenant: str, conversation: str, known: Sequence[Commit]) -> None:
        stream = self._streams.of(tenant, conversation)
        async with stream.telling:
            await self._rows.tell(stream, known)

    async def _between(self, conversation: str, after: Position, end: Seq) -> list[Entry]:
        """What the log still has from one place to another."""
        entries: list[Entry] = []
        while after.seq < end:
            page = await self._log.read(conversation, after, end - after.seq)
            if isinstance(page, Lost):
                if page.position is None or page.position.epoch != after.epoch:
                    break
                if page.oldest <= after.seq:
                    break
                after = Position(after.epoch, page.oldest)
                continue
            if not page.entries:
                break
            entries += page.entries
            after = Position(after.epoch, page.entries[-1].seq)
        return entries

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

    async def _count(self) -> None:
        """Tell followers how many they are, and other instances how many are here."""
        self._company.look()
        for _ in range(TURNS_OF_COUNTING):
            if not self._recount:
                break
            for conversation in list(islice(self._recount, COUNTED_AT_ONCE)):
                del self._recount[conversation]
                self._count_one(conversation)
            await asyncio.sleep(0)

    def _count_one(self, conversation: str) -> None:
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

    def _notice(self, conversation: str, head: Position | None) -> None:
        """Who has nothing to append hears so that its followers are in another epoch by now.

        They were shown what SQL had, and miss what was told between that and the loss.
        """
        stream = self._streams.get(conversation)
        if stream is None or head is None:
            return
        for writer in stream.writers.values():
            if writer.idle and not writer.held and writer.position.epoch != head.epoch:
                self._pump.move(writer, Refusal.EPOCH)

    def _compare(self, conversation: str, head: Position | None) -> None:
        """Whether a log is still in the epoch in which it was seen last."""
        stream = self._streams.get(conversation)
        if stream is not None and stream.position is not None:
            self._one_was_lost |= head is None or head.epoch != stream.position.epoch

    async def _mend(self, writer: Writer, refusal: Refusal) -> None:
        """An append was refused: another epoch, or another owner."""
        self._one_was_lost |= refusal is Refusal.EPOCH
        if refusal in (Refusal.FENCED, Refusal.ENDED):
            writer.lose()
            return
        try:
            await self._entering.move(writer, refusal)
        except Fenced:
            writer.lose()
        except StorageError as error:
            self._report(writer.answer.conversation, error)
            writer.out_of_reach()
            await asyncio.sleep(MEND_PAUSE_S * (0.5 + random.random()))  # noqa: S311 - no secret
