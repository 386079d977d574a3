"""Telling a log what was committed, in the order of commit, once per epoch.

Whoever speaks first tells the lower rows too. A row that was told already is recognised by the log,
so telling twice does no harm; not telling is mended by the sweeper.

SQL may have gone back to a backup since the log was told a row, and have given its number to
another. So what is told already is looked at, unless that was just now, and of here.
"""

from collections.abc import Iterable, Sequence

from protocol.types import Position
from server.streams.entry import decode, encode
from server.streams.epochs import EPOCHS_TRIED, Epochs
from server.streams.shapes import frame_of, is_of_same
from server.streams.stream import Stream
from storage.errors import Unavailable
from storage.log import ROWS, Append, Appended, EventLog, Refusal, Refused, Registered, Slice
from storage.records import Commit, Ended
from storage.store import Outbox

PAGE = 100


class Rows:
    """The way of commits into logs; `told` are marks that SQL is to be given, in a batch."""

    def __init__(self, log: EventLog, outbox: Outbox, epochs: Epochs) -> None:
        self._log = log
        self._outbox = outbox
        self._epochs = epochs
        self.told: dict[tuple[str, str], int] = {}

    async def tell(self, stream: Stream, known: Sequence[Commit]) -> None:
        """Tell everything that waits; `known` saves reading what was committed just now."""
        for commit in known:
            stream.highest = max(stream.highest, commit.number)
        if stream.position is None:
            await self._epochs.find(stream)
            known = [each for each in known if each.number > stream.sure]
        new = known[0].number if known else None
        if known and stream.told is not None and known[0].number <= stream.told + 1:
            await self._append(stream, known, new)
            if (stream.told or 0) >= stream.highest:
                return
        await self._tell_stored(stream, new)

    async def _tell_stored(self, stream: Stream, new: int | None) -> None:
        """Tell what SQL says is not told yet, up to an end that has yet to happen."""
        while True:
            waiting = await self._outbox.unlogged(stream.tenant, stream.conversation, limit=PAGE)
            fresh = [each for each in waiting if each.number > stream.sure]
            if fresh:
                await self._append(stream, fresh, new)
            elif waiting:  # told before, or from before the epoch, where nobody misses them
                self._mark(stream, waiting[-1].number)
            if len(waiting) < PAGE:
                return
            await self.flush()  # or the same page would come again

    async def _append(self, stream: Stream, commits: Sequence[Commit], new: int | None) -> None:
        """From the number `new` on they were committed just now."""
        bodies = [encode(frame_of(commit)) for commit in commits]
        for _ in range(EPOCHS_TRIED):
            position = stream.position
            assert position is not None, "opened before"
            if await self._lacks_text_before(stream, position, commits):
                position = await self._epochs.open(stream, position.epoch)
            results = await self._log.append(
                [
                    Append(
                        stream.conversation, ROWS, 0, commit.number, body, position, _ends(commit)
                    )
                    for commit, body in zip(commits, bodies, strict=True)
                ]
            )
            asked = zip(commits, bodies, results, strict=True)
            refused = await self._note(stream, position.epoch, asked, new)
            if refused is None:
                return
            if refused.reason is Refusal.UNAVAILABLE:
                raise Unavailable("the log gave no reply", outcome_unknown=True)
            if refused.reason is Refusal.GAP:
                # Rows below are marked as told, and this epoch has them not: it is not whole.
                stream.told = None
            await self._epochs.open(stream, position.epoch)
        raise Unavailable("the log's epochs end faster than they are opened")

    async def _lacks_text_before(
        self, stream: Stream, position: Position, commits: Sequence[Commit]
    ) -> bool:
        """Whether one of these ends an answer whose text was told in an epoch before this one.

        Who came to this epoch was shown a part of it, and would never get the rest.
        """
        for commit in commits:
            if not isinstance(commit.row, Ended) or commit.number <= (stream.told or 0):
                continue
            writer = stream.writers.get(commit.row.answer)
            if writer is not None:
                # Who moves there has the epoch before it has told it anything.
                if writer.position.epoch != position.epoch or writer.owes_text:
                    return True
            elif commit.row.length and not await self._spoke(position, commit.row):
                return True
        return False

    async def _spoke(self, position: Position, ended: Ended) -> bool:
        """Whether an answer of somebody else told its log anything in this epoch."""
        known = await self._log.fence(ended.conversation, position.epoch, ended.answer, ended.fence)
        return not isinstance(known, Registered) or known.last > 0 or known.end is not None

    async def _note(
        self,
        stream: Stream,
        epoch: str,
        asked: Iterable[tuple[Commit, bytes, Appended | Refused]],
        new: int | None,
    ) -> Refused | None:
        for commit, body, result in asked:
            if isinstance(result, Appended):
                place = Position(epoch, result.seq)
                if result.repeated and not await self._stands(stream, place, body):
                    return Refused(Refusal.FORGOTTEN, place)
                stream.advanced(place)
            elif result.reason is not Refusal.FORGOTTEN:
                return result
            elif new is not None and new <= commit.number > stream.sure:
                return result  # it was told before it was there
            if stream.position is None or stream.position.epoch != epoch:
                # It ended meanwhile, and nobody follows it any more.
                return Refused(Refusal.EPOCH, stream.position)
            stream.told = max(stream.told or 0, commit.number)
            stream.sure = max(stream.sure, commit.number)
            self._mark(stream, commit.number)
        return None

    async def _stands(self, stream: Stream, place: Position, body: bytes) -> bool:
        """Whether the log tells the same commit there, perhaps as another saw it."""
        before = Position(place.epoch, place.seq - 1)
        page = await self._log.read(stream.conversation, before, 1)
        if not isinstance(page, Slice) or not page.entries:
            return False
        told = page.entries[0].body
        return told == body or is_of_same(decode(told, 0), decode(body, 0))

    def doubt(self) -> None:
        """Numbers may mean other commits than they did."""
        self.told.clear()

    def _mark(self, stream: Stream, number: int) -> None:
        key = (stream.tenant, stream.conversation)
        self.told[key] = max(self.told.get(key, 0), number)

    async def flush(self) -> None:
        """Mark in SQL what was told since the last time."""
        if self.told:
            marks, self.told = self.told, {}
            await self._outbox.mark_logged(
                [(tenant, conversation, number) for (tenant, conversation), number in marks.items()]
            )


def _ends(commit: Commit) -> str | None:
    return commit.row.answer if isinstance(commit.row, Ended) else None
