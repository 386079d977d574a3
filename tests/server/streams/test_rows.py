"""What a log is told of commits: all of them, in their order, once per epoch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from protocol.frames.from_server import Complete, FeedbackGiven, MessageMade
from protocol.types import Position
from server.streams.entry import decode
from server.streams.options import Options
from storage.errors import Unavailable
from storage.log import ROWS, Append, Appended, Refused, Slice
from storage.records import Commit, CommitKind, Regenerate, Sent
from storage.sql import open_database
from storage.sql.migrate import migrate
from tests.support.faultylog import Fault, FaultyLog
from tests.support.place import Listener, Place
from tests.support.rows import REQUEST, World
from tests.support.waiting import until


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A hub over a log with faults."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    place = Place(World(db, "tenant"), Options(), log=FaultyLog())
    running = asyncio.create_task(place.hub.run())
    yield place
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await db.close()


@pytest.fixture
def log(place: Place) -> FaultyLog:
    """The log, for faults."""
    assert isinstance(place.log, FaultyLog)
    return place.log


async def numbers(place: Place, sent: Sent) -> list[int]:
    """The commits that the present epoch tells, in its order."""
    head = await place.hub.head(sent.conversation)
    assert head is not None
    page = await place.log.read(sent.conversation, Position(head.epoch, 0), 10_000)
    assert isinstance(page, Slice)
    return [entry.ordinal for entry in page.entries if entry.source == ROWS]


def commits(sent: Sent) -> list[Commit]:
    """The rows of a message, as its sender has them."""
    return [
        Commit(number=number, kind=CommitKind.MESSAGE, row=row)
        for number, row in zip(sent.numbers, sent.rows, strict=True)
    ]


async def tell(place: Place, sent: Sent, known: Sequence[Commit] = ()) -> None:
    """Tell, and nothing goes wrong."""
    await place.hub.tell(place.tenant, sent.conversation, known)
    assert place.reports == []


async def test_rows_that_are_at_hand_are_not_read_again(place: Place) -> None:
    """A message costs no query but its own."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    asked = place.world.db.asked
    await tell(place, second, commits(second))
    assert place.world.db.asked == asked
    assert await numbers(place, second) == [1, 2, 3, 4]


async def test_where_something_lies_between_all_of_it_is_told_in_order(place: Place) -> None:
    """Another's rows were committed before, and not told."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    third = await place.world.send(conversation=first.conversation)
    await tell(place, third, commits(third))
    await tell(place, second, commits(second))
    assert await numbers(place, first) == [1, 2, 3, 4, 5, 6]


async def test_telling_at_the_same_time_tells_each_row_once(place: Place) -> None:
    """In whatever order they come."""
    first = await place.sent()
    more = [await place.world.send(conversation=first.conversation) for _ in range(3)]
    await asyncio.gather(*(tell(place, sent, commits(sent)) for sent in reversed(more)))
    assert await numbers(place, first) == list(range(1, 9))


async def test_what_interrupts_follows_the_end_it_causes(place: Place) -> None:
    """The end has its number before it happens; until then nothing behind it is told."""
    first = await place.sent()
    writer = await place.writer(first)
    second = await place.world.interrupt(first.conversation)
    assert second.numbers == (4, 5)
    await tell(place, second, commits(second))
    assert await numbers(place, first) == [1, 2]
    await place.end(first, writer)
    assert place.reports == []
    assert await numbers(place, first) == [1, 2, 3, 4, 5]


async def test_more_than_a_page_is_told_to_its_end(place: Place) -> None:
    """Nobody told for a long time."""
    first = await place.sent()
    for _ in range(119):
        once = place.world.once()
        await place.world.store.feedback.save(
            place.world.owner, once, first.answer, rating="up", comment="good"
        )
    listener = await place.follow(first, 2)
    await tell(place, first)
    assert await numbers(place, first) == list(range(1, 122))
    assert all(isinstance(frame, FeedbackGiven) for frame in listener.frames)
    await place.hub.sweep()
    assert await place.world.store.internal.outbox.overdue(older_than_ms=0, limit=9) == []


async def test_marks_are_written_together(place: Place) -> None:
    """Once a second, for all conversations; and none if there is nothing new."""
    sent = [await place.sent() for _ in range(3)]
    asked = place.world.db.asked
    await place.hub.sweep()
    await place.hub.stop()
    assert place.world.db.asked == asked + 2  # the marks, and a look for what is overdue
    for each in sent:
        unlogged = place.world.store.internal.outbox.unlogged
        assert await unlogged(place.tenant, each.conversation, limit=9) == []


async def test_marks_that_were_not_written_come_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telling again does no harm."""
    sent = await place.sent()
    outbox = place.world.store.internal.outbox

    async def away(*_: object) -> None:
        raise Unavailable("a test")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "mark_logged", away)
        await place.hub.sweep()
        await place.hub.stop()
        assert len(place.reports) == 1
    place.world.clock.advance(6_000)
    await place.hub.sweep()
    await place.hub.sweep()
    assert await outbox.unlogged(place.tenant, sent.conversation, limit=9) == []
    assert await numbers(place, sent) == [1, 2]


async def test_a_log_without_a_reply_is_told_by_the_sweeper(place: Place, log: FaultyLog) -> None:
    """Nobody waits for it, and no row is told twice."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    log.faults.append(Fault.NO_REPLY)
    await place.hub.tell(place.tenant, second.conversation, commits(second))
    assert [type(error) for _, error in place.reports] == [Unavailable]
    place.world.clock.advance(6_000)
    await place.hub.sweep()
    assert await numbers(place, first) == [1, 2, 3, 4]


async def test_a_lost_log_tells_on_in_a_new_epoch(place: Place, log: FaultyLog) -> None:
    """What SQL showed when the epoch began need not be told in it."""
    first = await place.sent()
    await log.drop([first.conversation])
    second = await place.world.send(conversation=first.conversation)
    await tell(place, second, commits(second))
    assert await numbers(place, first) == []
    third = await place.world.send(conversation=first.conversation)
    await tell(place, third, commits(third))
    assert await numbers(place, first) == [5, 6]


async def test_an_epoch_that_lacks_rows_is_replaced(place: Place, log: FaultyLog) -> None:
    """Told to a log that lost them, and marked as told: nobody can tell them in their order."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    await place.world.store.internal.outbox.mark_logged([(place.tenant, second.conversation, 4)])
    listener = await place.follow(first)
    third = await place.world.send(conversation=first.conversation)
    await tell(place, third)
    await listener.until_lost()
    assert await numbers(place, first) == []
    fourth = await place.world.send(conversation=first.conversation)
    await tell(place, fourth, commits(fourth))
    assert await numbers(place, first) == [7, 8]


async def test_what_is_told_to_an_epoch_that_ends_meanwhile_is_told_to_the_next(
    place: Place, log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places of one epoch are none of the other's, and a row of it stands not in the other."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    append, told, reply = log.append, asyncio.Event(), asyncio.Event()

    async def slow(batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        results = await append(batch)
        told.set()
        await reply.wait()
        return results

    monkeypatch.setattr(log, "append", slow)
    # Whoever opens the next epoch has read SQL before.
    telling = asyncio.create_task(tell(place, second, commits(second)))
    await told.wait()
    await log.drop([first.conversation])
    await log.real.open(first.conversation, None, 2, {})
    position = await place.hub.position(place.tenant, first.conversation)
    reply.set()
    await telling
    assert await numbers(place, first) == [3, 4]
    stream = place.hub._streams[first.conversation]
    assert stream.position == Position(position.epoch, 2)
    assert stream.told == 4


async def test_an_end_is_not_told_before_its_text_which_is_told_again(
    place: Place, log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer is in the new epoch already, its text is not; whoever came there comes again."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    await log.drop([sent.conversation])
    position = await place.other.position(place.tenant, sent.conversation)
    listener = Listener()
    await place.hub.join(place.tenant, sent.conversation, listener, position)
    append, gate = log.append, asyncio.Event()

    async def slow(batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        if any(one.source == sent.answer for one in batch):
            await gate.wait()
        return await append(batch)

    monkeypatch.setattr(log, "append", slow)
    await place.hub.check()
    await until(lambda: writer.position.epoch == position.epoch)
    ended = await place.world.end(place.world.held(sent), "text")
    commit = Commit(number=ended.number, kind=CommitKind.COMPLETE, row=ended)
    await place.hub.tell(place.tenant, sent.conversation, [commit])
    gate.set()
    await writer.cut()
    await listener.until_lost()
    assert [frame for frame in listener.frames if isinstance(frame, Complete)] == []
    assert writer.lost


async def test_an_end_ends_its_answer_in_the_log(place: Place, log: FaultyLog) -> None:
    """Whoever lags behind appends nothing after it."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    await place.end(sent, writer)
    head = await place.hub.head(sent.conversation)
    assert head is not None
    [late] = await log.append([Append(sent.conversation, sent.answer, 1, 9, b"{}", head)])
    assert getattr(late, "reason", None) == "ended"
    page = await log.read(sent.conversation, Position(head.epoch, 0), 100)
    assert isinstance(page, Slice)
    last = decode(page.entries[-1].body, page.entries[-1].seq)
    assert isinstance(last, Complete)
    made = [decode(each.body, each.seq) for each in page.entries[:2]]
    assert all(isinstance(frame, MessageMade) for frame in made)


# ── a database that was restored ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("here", [True, False])
async def test_a_row_whose_number_told_another_is_told_in_a_new_epoch(
    place: Place, *, known: bool, lost: int, here: bool
) -> None:
    """Whether the instance told the other itself, and however far ahead the log is."""
    first = await place.sent()
    gone = await place.sent(conversation=first.conversation)
    for _ in range(1, lost):
        await place.sent(conversation=first.conversation)
    await place.restore(gone)
    listener = await place.follow(first, 2 + 2 * lost)
    if here:
        place.hub.doubt()
    sent = await place.world.send(conversation=first.conversation)
    hub = place.hub if here else place.other
    await hub.tell(place.tenant, sent.conversation, commits(sent) if known else ())
    await listener.until_lost()
    assert place.reports == []
    assert await numbers(place, first) == []  # who is shown what SQL has sees it
    third = await place.world.send(conversation=first.conversation)
    await hub.tell(place.tenant, third.conversation, commits(third))
    assert await numbers(place, first) == list(third.numbers)


async def test_a_row_that_is_known_to_be_new_is_looked_at_however_sure_one_was(
    place: Place,
) -> None:
    """The database was swapped under the instance, which has not heard of it yet."""
    first = await place.sent()
    gone = await place.sent(conversation=first.conversation)
    await place.restore(gone)
    listener = await place.follow(first, 4)
    sent = await place.world.send(conversation=first.conversation)
    await tell(place, sent, commits(sent))
    await listener.until_lost()


async def test_a_row_from_before_an_epoch_of_unknown_age_is_told_in_another(
    place: Place, log: FaultyLog
) -> None:
    """Whoever opened that knew a row of this number, and nothing tells which."""
    first = await place.sent()
    await log.drop([first.conversation])
    await log.open(first.conversation, None, 4, {})
    listener = await place.follow(first)
    sent = await place.world.send(conversation=first.conversation)
    await place.other.tell(place.tenant, sent.conversation, commits(sent))
    await listener.until_lost()


async def test_a_row_that_another_told_is_recognised(place: Place) -> None:
    """Also if a message has got a sibling since, and the other one saw that."""
    first = await place.sent()
    again = [
        await place.world.store.sending.regenerate(
            place.world.owner,
            Regenerate(once=place.world.once(), max_queued=9, request=REQUEST, answer=first.answer),
        )
        for _ in range(2)
    ]
    listener = await place.follow(first, 2)
    await place.other.tell(place.tenant, first.conversation)
    for sent in again:
        await tell(place, sent, commits(sent))
    await listener.until(2)
    assert await numbers(place, first) == [1, 2, 3, 4]
    assert listener.lost == 0


async def test_an_end_that_another_told_is_recognised(place: Place) -> None:
    """Its owner knows it from ending it, the other from SQL."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    listener = await place.follow(sent, 3)
    await place.end(sent, writer)
    await place.other.tell(place.tenant, sent.conversation)
    await place.sent(conversation=sent.conversation)
    await listener.until(3)
    assert await numbers(place, sent) == [1, 2, 3, 4, 5]
    assert listener.lost == 0


async def test_an_epoch_that_ends_while_a_row_is_looked_at_is_left(
    place: Place, log: FaultyLog
) -> None:
    """Another noticed first; what is told is told where the log is now."""
    first = await place.sent()
    gone = await place.sent(conversation=first.conversation)
    await place.restore(gone)
    sent = await place.world.send(conversation=first.conversation)
    door = log.doors["read"] = asyncio.Event()
    telling = asyncio.create_task(tell(place, sent, commits(sent)))
    await until(lambda: len(log.appends) == 3)
    head = await place.hub.head(first.conversation)
    assert head is not None
    await place.other.renew(place.tenant, first.conversation, head.epoch)
    door.set()
    await telling
    third = await place.world.send(conversation=first.conversation)
    await tell(place, third, commits(third))
    assert await numbers(place, first) == list(third.numbers)
