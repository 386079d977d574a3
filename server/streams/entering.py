"""How an answer comes into an epoch: behind its row, with its fence, and with all of its text."""

from protocol.text import utf16_length
from protocol.types import Position
from server.streams.epochs import EPOCHS_TRIED, Epochs
from server.streams.known import Known
from server.streams.rows import Rows
from server.streams.shapes import citations
from server.streams.stream import Stream
from server.streams.writer import Writer
from storage.errors import Fenced, Unavailable
from storage.log import EventLog, Refusal, Registered
from storage.records import Answer, Unfinished
from storage.store import Internal


class Entering:
    """Registers answers where their logs are now, and moves their writers on."""

    def __init__(
        self, log: EventLog, store: Internal, streams: Known, epochs: Epochs, rows: Rows
    ) -> None:
        self._log = log
        self._answers = store.answers
        self._streams = streams
        self._epochs = epochs
        self._rows = rows

    async def enter(self, stream: Stream, answer: Answer) -> tuple[Position, int]:
        """Where its log stands, and how many entries of it this epoch has.

        From now on nobody with a lower fence appends. `Fenced`: it is another's, or has ended.
        """
        for _ in range(EPOCHS_TRIED):
            await self._tell_row(stream, answer)
            position = stream.position
            assert position is not None, "told rows have a place"
            known = await self._log.fence(
                answer.conversation, position.epoch, answer.id, answer.fence
            )
            if isinstance(known, Registered) and known.end is None:
                if answer.epoch == position.epoch:  # so that a log that was rolled back is noticed
                    position = max(position, Position(answer.epoch, answer.seq))
                    stream.advanced(position)
                return position, known.last
            if isinstance(known, Registered) or known.reason is not Refusal.EPOCH:
                await self.said(answer)
                # Only the log says so: SQL has gone back since, and what it tells is not so.
                await self._epochs.open(stream, position.epoch)
            elif known.position is None:
                await self._epochs.open(stream, None)
            else:
                await self._epochs.meet(stream, known.position)
        raise Unavailable("the log's epochs end faster than an answer enters them")

    async def move(self, writer: Writer, why: Refusal) -> None:
        """Have it go on where its log is now, with all that it said.

        A log that is in no other epoch, and yet lacks what it had, is given up.
        """
        answer = writer.answer
        stream = self._streams.of(answer.tenant, answer.conversation)
        before = writer.position.epoch
        head = await self._epochs.head(answer.conversation)
        if head is None:
            await self._epochs.open(stream, None)
        elif head.epoch != before:
            await self._epochs.meet(stream, head)
        elif why is Refusal.EPOCH:
            return  # who noticed that had looked too early
        else:
            await self._epochs.open(stream, before)
        said = await self.said(answer)
        position, ordinal = await self.enter(stream, answer)
        while utf16_length(said.text) < writer.unsaved().start:  # a checkpoint came in between
            said = await self.said(answer)
        writer.renew(position, ordinal, said.text, citations(said.citations))

    async def said(self, answer: Answer) -> Unfinished:
        """What SQL has of an answer; `Fenced` if it is another's, or has ended."""
        opening = await self._answers.opening(answer.tenant, answer.conversation)
        for each in opening.unfinished:
            if (each.answer.id, each.answer.fence) == (answer.id, answer.fence):
                return each
        raise Fenced(f"answer {answer.id!r}", answer.fence)

    async def _tell_row(self, stream: Stream, answer: Answer) -> None:
        """Where that fails, the answer may not speak yet."""
        if stream.told is not None and stream.told >= answer.number:
            return
        async with stream.telling:
            await self._rows.tell(stream, ())
        assert stream.position is not None, "opened before"
        position = await self._epochs.meet(stream, stream.position)
        if stream.told is not None and stream.told < answer.number:
            # It was told in an epoch before, and whoever opened this one knew nothing of that.
            await self._epochs.open(stream, position.epoch)
