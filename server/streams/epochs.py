"""Which epoch a log is in: opened here, or by whoever was faster."""

from protocol.types import Position
from server.streams.stream import Stream
from storage.errors import Unavailable
from storage.log import ROWS, EventLog, Registered
from storage.records import Sent
from storage.store import Internal

EPOCHS_TRIED = 3


class Epochs:
    """Opens epochs, and learns of those that others opened."""

    def __init__(self, log: EventLog, store: Internal) -> None:
        self._log = log
        self._answers = store.answers

    async def head(self, conversation: str) -> Position | None:
        """Where the log stands; None: no epoch is open. `Unavailable` if it cannot be asked."""
        heads = await self._log.heads([conversation])
        if conversation not in heads:
            raise Unavailable("the log is out of reach")
        return heads[conversation]

    async def find(self, stream: Stream) -> Position:
        """Where the log stands, whoever opened it, and however long ago."""
        head = await self.head(stream.conversation)
        return await (self.open(stream, None) if head is None else self.meet(stream, head))

    async def open(self, stream: Stream, instead_of: str | None) -> Position:
        """Open an epoch from one reading of SQL, or learn which one another has just opened.

        Of what is open now it was just learnt that it is over, or that nothing is.
        """
        for _ in range(EPOCHS_TRIED):
            opening = await self._answers.opening(stream.tenant, stream.conversation)
            fences = {each.answer.id: each.answer.fence for each in opening.unfinished}
            position = await self._log.open(stream.conversation, instead_of, opening.rows, fences)
            if position is not None:
                await self.meet(stream, position)
                stream.sure = stream.told or 0
                return position
            instead_of = None
        raise Unavailable("the log is lost faster than it is opened")

    async def begin(self, stream: Stream, sent: Sent) -> Position | None:
        """The same from a reading without a message that was committed just now.

        None: where that stands its rows were told already, or another opened it from a reading that
        has them.
        """
        # Whom it interrupted has the numbers before its own, and may have ended by now.
        interrupted = len(sent.ended) + len(sent.stopping)
        rows, fences = sent.numbers[0] - 1 - interrupted, {sent.answer: sent.fence}
        if not sent.created:
            opening = await self._answers.opening(stream.tenant, sent.conversation)
            rows = min(rows, opening.rows)
            fences = {each.answer.id: each.answer.fence for each in opening.unfinished}
        position = await self._log.open(sent.conversation, None, rows, fences)
        if position is None:
            raise Unavailable("the log was dropped while it began")
        stream.seen(position)
        if position.seq or stream.told is None:  # others tell there: what is known may be older
            await self._ask_for_rows(stream, position)
        return None if stream.told is None or stream.told >= sent.numbers[0] else position

    async def meet(self, stream: Stream, position: Position) -> Position:
        """The log stands there; which rows that epoch has, only the log knows.

        Whoever opened it may have read SQL before us or behind us, and others tell rows too.
        """
        stream.seen(position)
        if stream.told is None:
            await self._ask_for_rows(stream, position)
        return position

    async def _ask_for_rows(self, stream: Stream, position: Position) -> None:
        known = await self._log.fence(stream.conversation, position.epoch, ROWS, 0)
        if isinstance(known, Registered):
            stream.has_rows(position.epoch, known.last)
