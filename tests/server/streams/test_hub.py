"""A hub over a real store and log: rows in order, answers whole, followers level."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from protocol.codec import JSON, MSGPACK
from protocol.folding import fold
from protocol.frames.from_server import (
    Chunk,
    Complete,
    MessageMade,
    Presence,
    Reset,
    Status,
    Typing,
)
from protocol.types import AnswerState, Id, Position, ResetReason
from server.streams.channel import Channel
from server.streams.options import Options
from storage.errors import Fenced, Unavailable
from storage.log import Lost, Slice
from storage.memory.bus import Switchboard
from storage.records import Commit, Opening
from tests.support.place import Listener, Place
from tests.support.waiting import pause, until


async def test_a_first_message_is_told_before_its_answer(place: Place) -> None:
    """The rows, then what the answer says, then its end: in one log without holes."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent)
    writer.frame(
        Status(
            conversation=sent.conversation,
            answer=sent.answer,
            attempt=1,
            state=AnswerState.GENERATING,
        )
    )
    for piece in ("Hel", "lo", "."):
        writer.text(piece)
    await writer.settled()
    await place.end(sent, writer)
    kinds = [type(frame) for frame in listener.frames]
    assert kinds == [MessageMade, MessageMade, Status, Chunk, Complete]
    assert listener.seqs == [1, 2, 3, 4, 5]
    assert listener.text == "Hello."


async def test_tokens_gather_while_an_append_is_awaited_and_after_it(place: Place) -> None:
    """The first token leaves at once, the rest together."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent, seq=2)
    writer.text("a")
    await listener.until(1)
    for _ in range(100):
        writer.text("b")
        await asyncio.sleep(0)
    await writer.settled()
    assert listener.text == "a" + "b" * 100
    assert len(listener.entries) < 10


@pytest.mark.parametrize("options", [Options(gather_ms=0)])
async def test_without_gathering_each_token_is_a_frame(place: Place) -> None:
    """The setting that measures the bare cost of a frame."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent, seq=2)
    for _ in range(20):
        writer.text("x")
        await asyncio.sleep(0)
    await writer.settled()
    assert [frame.text for frame in listener.frames if isinstance(frame, Chunk)] == ["x"] * 20


async def test_offsets_count_utf16_units_and_no_chunk_is_too_big(place: Place) -> None:
    """A text of characters beyond the BMP, longer than one frame takes."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent, seq=2)
    text = "😀" * 40_000 + "end"
    writer.text(text)
    await writer.settled()
    assert listener.text == text
    offset = 0
    for frame in listener.frames:
        assert isinstance(frame, Chunk)
        assert frame.offset == offset
        offset += len(frame.text.encode("utf-16-le")) // 2
    assert all(len(entry.framed(JSON)) < 256 * 1024 for entry in listener.entries)
    assert writer.length == offset


async def test_a_follower_gets_what_it_missed_and_then_what_comes(place: Place) -> None:
    """From any place in the log, the same frames as who was there all the time."""
    sent = await place.sent()
    writer = await place.writer(sent)
    witness = await place.follow(sent)
    for piece in range(8):
        writer.text(f"{piece} ")
        await writer.settled()
    late = [await place.follow(sent, seq) for seq in range(len(witness.seqs) + 1)]
    writer.text("last")
    await writer.settled()
    for seq, listener in enumerate(late):
        assert listener.seqs == witness.seqs[seq:]
        assert [*fold(listener.frames)] == [*fold(witness.frames[seq:])]


async def test_one_entry_has_the_same_bytes_for_everybody(place: Place) -> None:
    """Encoded once per encoding; both say the same."""
    sent = await place.sent()
    one, two = await place.follow(sent), await place.follow(sent)
    writer = await place.writer(sent)
    writer.text("shared")
    await writer.settled()
    assert one.entries[-1] is two.entries[-1]
    assert one.entries[-1].framed(JSON) is two.entries[-1].framed(JSON)
    shared = one.entries[-1]
    assert MSGPACK.decode_server(shared.framed(MSGPACK)[2:]) == JSON.decode_server(
        shared.framed(JSON)[2:].decode()
    )


async def test_a_stranger_to_the_fence_cannot_write(place: Place) -> None:
    """Who lost the answer is told at its next word, and when it asks for a way in."""
    sent = await place.sent()
    writer = await place.writer(sent)
    head = await place.hub.head(sent.conversation)
    assert head is not None
    await place.world.run("UPDATE answers SET fence = 5 WHERE id = :id", id=sent.answer)
    await place.log.fence(sent.conversation, head.epoch, sent.answer, 5)
    writer.text("zombie")
    with pytest.raises(Fenced):
        await writer.settled()
    assert writer.lost
    with pytest.raises(Fenced):
        await place.hub.writer(writer.answer)


async def test_cut_drops_what_waits_and_keeps_what_was_told(place: Place) -> None:
    """A stop ends the text where devices have it."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent, seq=2)
    writer.text("told")
    await listener.until(1)
    writer.text(" never")
    await writer.cut()
    assert writer.unsaved().text == listener.text == "told"


async def test_a_reset_begins_the_text_anew(place: Place) -> None:
    """What was shown is given up, and offsets start at nought."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent, seq=2)
    writer.text("first try")
    await writer.settled()
    await writer.reset(2, ResetReason.RETRY)
    writer.text("second")
    await writer.settled()
    assert [type(frame) for frame in listener.frames] == [Chunk, Reset, Chunk]
    last = listener.frames[-1]
    assert isinstance(last, Chunk)
    assert (last.offset, last.text) == (0, "second")
    assert writer.unsaved().text == "second"


async def test_a_lost_log_is_opened_anew_and_told_the_whole_text(place: Place) -> None:
    """Followers are told to come again; the writer goes on in the next epoch."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent)
    writer.text("before ")
    await writer.settled()
    writer.saved(writer.length)
    await place.world.write(place.world.held(sent), 0, "before ")
    writer.text("between ")
    await writer.settled()
    await place.log.drop([sent.conversation])
    writer.text("after")
    await writer.settled()
    assert listener.lost == 1
    head = await place.hub.head(sent.conversation)
    assert head is not None
    again = await place.follow(sent)
    assert again.text == "before between after"


async def test_rows_are_told_in_order_whoever_speaks_first(place: Place) -> None:
    """A later message's sender tells the earlier one's rows too."""
    first = await place.sent()
    listener = await place.follow(first)
    # Committed, and whoever did it died before it told.
    await place.world.send(conversation=first.conversation)
    third = await place.world.send(conversation=first.conversation)
    await place.hub.tell(place.tenant, third.conversation)
    made = [f.message.id for f in listener.frames if isinstance(f, MessageMade)]
    assert len(made) == 6
    assert made[-1] == third.answer
    assert made == sorted(made)


async def test_the_sweeper_tells_what_nobody_told(place: Place) -> None:
    """A crash between commit and append loses nothing."""
    first = await place.sent()
    listener = await place.follow(first)
    await place.world.send(conversation=first.conversation)
    place.world.clock.advance(6_000)
    await place.hub.sweep()
    assert len(listener.seqs) == 4
    place.world.clock.advance(6_000)
    await place.hub.sweep()
    await place.hub.sweep()
    assert await place.world.store.internal.outbox.overdue(older_than_ms=0, limit=10) == []


async def test_what_cannot_be_told_keeps_nobody_elses_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node of a Cluster that has those logs may be away for long."""
    monkeypatch.setattr("server.streams.hub.OVERDUE_AT_ONCE", 2)
    behind = sorted([(await place.world.send()).conversation for _ in range(5)])
    away, heads = behind[:2], place.log.heads

    async def known(conversations: Collection[Id]) -> Mapping[Id, Position | None]:
        return await heads([each for each in conversations if each not in away])

    monkeypatch.setattr(place.log, "heads", known)
    place.world.clock.advance(6_000)
    for _ in range(3):
        await place.hub.sweep()
    assert await heads(away) == dict.fromkeys(away)
    assert None not in (await heads(behind[2:])).values()


async def test_where_the_log_was_gone_a_message_begins_it(place: Place) -> None:
    """The sender's place is before the rows, which are told in the new epoch."""
    first = await place.sent()
    await place.log.drop([first.conversation])
    second = await place.world.send(conversation=first.conversation)
    before = await place.hub.begin(place.tenant, second)
    assert before is not None
    listener = Listener()
    await place.hub.join(place.tenant, second.conversation, listener, before)
    await place.hub.tell(place.tenant, second.conversation)
    made = [f.message.id for f in listener.frames if isinstance(f, MessageMade)]
    assert made == [second.message, second.answer]


async def test_where_another_told_it_meanwhile_the_sender_has_no_place(place: Place) -> None:
    """What is known here of the rows that the log has is older than where it stands."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    await place.other.tell(place.tenant, first.conversation)
    assert await place.hub.begin(place.tenant, second) is None
    assert await place.hub.before_row(first.conversation, second.numbers[0]) is not None


async def test_the_place_before_a_row_is_found(place: Place) -> None:
    """So that a repeated request is answered with where the first one stood."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    head = await place.hub.head(first.conversation)
    assert head is not None
    before_row, number = place.hub.before_row, second.numbers[0]
    assert await before_row(second.conversation, number) == head, "it is to be told yet"
    await place.hub.tell(place.tenant, first.conversation)
    assert await before_row(second.conversation, number) == Position(head.epoch, 2)
    assert await before_row("c_nowhere", 1) is None


async def test_the_place_before_a_row_is_found_that_is_told_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands behind the head that was looked at first."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    real = place.hub.head

    async def then_told(conversation: str) -> Position | None:
        before = await real(conversation)
        monkeypatch.setattr(place.hub, "head", real)
        await place.other.tell(place.tenant, conversation)
        return before

    monkeypatch.setattr(place.hub, "head", then_told)
    found = await place.hub.before_row(first.conversation, second.numbers[0])
    assert found is not None
    assert found.seq == 2


@pytest.mark.parametrize("options", [Options(page=4, gather_ms=0)])
async def test_the_place_before_a_row_is_looked_for_from_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated request is mostly of the last message, and the log may be long."""
    first = await place.sent()
    writer = await place.writer(first)
    for _ in range(20):
        writer.text("x")
    await writer.settled()
    second = await place.world.send(conversation=first.conversation)
    await place.hub.tell(place.tenant, first.conversation)
    epoch, read, reads = writer.position.epoch, place.log.read, []

    async def counted(conversation: str, after: Position, limit: int) -> Slice | Lost:
        reads.append(limit)
        return await read(conversation, after, limit)

    monkeypatch.setattr(place.log, "read", counted)
    before_row = place.hub.before_row
    assert await before_row(first.conversation, second.numbers[0]) == Position(epoch, 22)
    assert reads == [1, 4]
    assert await before_row(first.conversation, first.numbers[0]) == Position(epoch, 0)


async def test_a_follower_of_another_epoch_is_lost_at_once(place: Place) -> None:
    """Nobody guesses what it missed."""
    sent = await place.sent()
    listener = Listener()
    await place.hub.join(place.tenant, sent.conversation, listener, Position("other", 0))
    assert listener.lost == 1
    assert listener.entries == []


async def deaf_and_lost(place: Place) -> Listener:
    """A follower of a log that is gone without a word."""
    sent = await place.sent()
    listener = await place.follow(sent)
    channel = place.hub._channel(sent.conversation)
    assert channel is not None
    assert channel._following is not None
    channel._following.close()
    await place.log.drop([sent.conversation])
    return listener


async def test_a_silent_loss_is_noticed_by_looking(place: Place) -> None:
    """An epoch that ends without a word ends for its followers at the next look."""
    listener = await deaf_and_lost(place)
    await place.hub.check()
    await listener.until_lost()


async def test_where_a_writer_finds_its_log_lost_the_others_are_looked_at_soon(
    place: Place,
) -> None:
    """What lost one may have lost them all: nobody waits for the next look."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await deaf_and_lost(place)
    await place.hub.sweep()
    assert listener.lost == 0
    await place.log.drop([sent.conversation])
    writer.text("x")
    await writer.settled()
    await place.hub.sweep()
    await listener.until_lost()


async def test_where_somebody_asks_for_a_lost_log_the_others_are_looked_at_soon(
    place: Place,
) -> None:
    """Likewise; one that nobody here saw before says nothing."""
    sent = await place.sent()
    listener = await deaf_and_lost(place)
    assert await place.hub.head("c_nowhere") is None
    await place.hub.sweep()
    assert listener.lost == 0
    await place.log.drop([sent.conversation])
    await place.hub.head(sent.conversation)
    await place.hub.sweep()
    await listener.until_lost()


async def test_who_left_hears_nothing_more_and_nobody_is_left_behind(place: Place) -> None:
    """A channel without followers gives its subscription back."""
    sent = await place.sent()
    listener = await place.follow(sent)
    heard = len(listener.seqs)
    place.hub.leave(sent.conversation, listener)
    writer = await place.writer(sent)
    writer.text("unheard")
    await writer.settled()
    assert len(listener.seqs) == heard
    assert place.hub._channel(sent.conversation) is None


async def test_followers_are_told_how_many_they_are(place: Place) -> None:
    """Once a second at most, and never to one who is alone and was."""
    sent = await place.sent()
    one = await place.follow(sent)
    await place.hub.sweep()
    assert one.aside == []
    two = await place.follow(sent)
    await place.hub.sweep()
    await place.hub.sweep()
    assert one.aside == two.aside == [Presence(conversation=sent.conversation, sockets=2)]


async def test_followers_elsewhere_count_too(place: Place) -> None:
    """As soon as both have counted; and whoever leaves, leaves for all."""
    switchboard = Switchboard()
    here = Place(place.world, Options(), place.log, switchboard=switchboard)
    there = Place(place.world, Options(), place.log, switchboard=switchboard)
    sent = await here.sent()
    one, two = await here.follow(sent), await there.follow(sent)

    async def counted() -> None:
        for each in (here, there, here, there):
            await each.hub.sweep()
            await pause()

    def presence(sockets: int) -> Presence:
        return Presence(conversation=sent.conversation, sockets=sockets)

    await counted()
    assert one.aside == two.aside == [presence(2)]
    here.hub.leave(sent.conversation, one)
    await counted()
    assert two.aside == [presence(2), presence(1)]
    there.hub.leave(sent.conversation, two)
    await counted()
    assert switchboard.ears == {}


async def test_a_word_beside_the_log_reaches_followers_elsewhere(place: Place) -> None:
    """All but the one who said it."""
    switchboard = Switchboard()
    here = Place(place.world, Options(), place.log, switchboard=switchboard)
    there = Place(place.world, Options(), place.log, switchboard=switchboard)
    sent = await here.sent()
    one, two, three = await here.follow(sent), await here.follow(sent), await there.follow(sent)
    typing = Typing(conversation=sent.conversation, user="ann")
    here.hub.aside(sent.conversation, typing, one)
    await pause()
    assert (one.aside, two.aside, three.aside) == ([], [typing], [typing])
    for listener in (one, two):
        here.hub.leave(sent.conversation, listener)
    there.hub.leave(sent.conversation, three)


async def test_a_lost_log_leaves_nobody_counted(place: Place) -> None:
    """Who followed it is not there until brought level again."""
    switchboard = Switchboard()
    here = Place(place.world, Options(), place.log, switchboard=switchboard)
    sent = await here.sent()
    listener = await here.follow(sent)
    await here.log.drop([sent.conversation])
    await listener.until_lost()
    await here.hub.sweep()
    assert switchboard.ears == {}


async def test_reading_a_log_that_nobody_opened_says_so(place: Place) -> None:
    """A stranger's id opens nothing."""
    assert await place.hub.head("c_stranger") is None
    assert isinstance(await place.hub.read("c_stranger", Position("e", 0), 1), Lost)


@pytest.mark.parametrize("options", [Options(idle_streams=2)])
async def test_logs_that_nobody_has_to_do_with_are_forgotten(place: Place) -> None:
    """The longest idle first; one that is written or followed stays."""
    written, followed, *idle = [await place.sent() for _ in range(6)]
    writer = await place.writer(written)
    listener = await place.follow(followed)
    await place.hub.sweep()
    kept = {written.conversation, followed.conversation, *(s.conversation for s in idle[2:])}
    assert set(place.hub._streams) == kept
    place.hub.done(writer)
    place.hub.leave(followed.conversation, listener)
    await place.hub.sweep()
    assert set(place.hub._streams) == {written.conversation, followed.conversation}
    listener = await place.follow(idle[0])  # forgotten, and yet all there
    assert len(listener.seqs) == 2


@pytest.mark.parametrize("options", [Options(idle_streams=0)])
async def test_what_is_forgotten_while_a_writer_comes_is_known_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a look at its log would not find it, nor would anybody notice that it is done."""
    sent = await place.sent()
    fence = place.log.fence

    async def slow(*asked: Any) -> Any:
        place.hub._streams.forget()
        return await fence(*asked)

    monkeypatch.setattr(place.log, "fence", slow)
    writer = await place.writer(sent)
    assert place.hub._streams[sent.conversation].writers == {sent.answer: writer}
    place.hub.done(writer)
    assert place.hub._written == {}


async def test_the_sweeper_reads_nothing_that_it_could_not_tell(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the log is away SQL has enough to do."""
    await place.sent()
    await place.hub.sweep()
    monkeypatch.setattr(type(place.log), "reachable", property(lambda _: False))
    place.world.clock.advance(6_000)
    asked = place.world.db.asked
    await place.hub.sweep()
    assert place.world.db.asked == asked


async def test_where_another_began_the_log_meanwhile_the_sender_has_no_place(place: Place) -> None:
    """Its epoch was opened from a reading that has the message, and will never tell of it."""
    first = await place.sent()
    await place.log.drop([first.conversation])
    second = await place.world.send(conversation=first.conversation)
    await place.hub.position(place.tenant, first.conversation)
    assert await place.hub.begin(place.tenant, second) is None


async def test_a_writer_waits_for_sql_to_mend_its_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported, and tried again."""
    sent = await place.sent()
    writer = await place.writer(sent)
    real, tries = place.world.store.internal.answers.opening, 0

    async def away_at_first(tenant: str, conversation: str) -> Opening:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("a test")
        return await real(tenant, conversation)

    monkeypatch.setattr(place.world.store.internal.answers, "opening", away_at_first)
    await place.log.drop([sent.conversation])
    writer.text("text")
    async with asyncio.timeout(10):
        await writer.settled()
    assert [type(error) for _, error in place.reports] == [Unavailable]
    assert (await place.follow(sent)).text == "text"


async def test_who_is_fenced_meanwhile_is_lost_with_the_log(place: Place) -> None:
    """A new epoch is for whom SQL says owns the answer."""
    sent, held = await place.world.running()
    await place.hub.begin(place.tenant, sent)
    writer = await place.writer(sent)
    await place.world.run("UPDATE answers SET fence = 5 WHERE id = :id", id=held.answer)
    await place.log.drop([sent.conversation])
    writer.text("zombie")
    with pytest.raises(Fenced):
        await writer.settled()


async def test_nothing_of_an_answer_is_told_before_its_message(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender could not tell, nor can the owner: the answer waits."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    outbox = place.world.store.internal.outbox

    async def away(*_: object, **__: object) -> list[Commit]:
        raise Unavailable("a test")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "unlogged", away)
        await place.hub.tell(place.tenant, second.conversation)
        with pytest.raises(Unavailable):
            await place.writer(second)
    writer = await place.writer(second)
    writer.text("text")
    await writer.settled()
    frames = (await place.follow(first)).frames
    assert [type(frame) for frame in frames] == [MessageMade] * 4 + [Chunk]


async def test_an_end_is_not_told_where_its_text_was_not(place: Place) -> None:
    """Who came to the new epoch was shown less, and comes again."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    await place.log.drop([sent.conversation])
    position = await place.hub.position(place.tenant, sent.conversation)
    listener = Listener()
    await place.hub.join(place.tenant, sent.conversation, listener, position)
    await place.end(sent, writer)
    await listener.until_lost()
    assert listener.entries == []
    assert (await place.follow(sent)).entries == []


async def test_who_has_nothing_to_say_tells_a_new_epoch_what_it_said(place: Place) -> None:
    """Somebody else opened it, and whoever came there was shown no more than SQL had."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    await place.log.drop([sent.conversation])
    await place.other.position(place.tenant, sent.conversation)
    await place.hub.check()
    await writer.settled()
    listener = await place.follow(sent)
    assert listener.text == "text"
    await place.end(sent, writer)
    assert [type(frame) for frame in listener.frames] == [Chunk, Complete]


class Snapshots:
    """Takes so many readers at once, and counts whom it would have to refuse."""

    takes = 100

    def __init__(self) -> None:
        self.reading = self.refused = 0

    async def read(self) -> None:
        """It takes its time."""
        self.reading += 1
        self.refused += self.reading > self.takes
        for _ in range(3):
            await asyncio.sleep(0)
        self.reading -= 1


class Tab(Listener):
    """A follower that comes back with a snapshot, as sockets do."""

    def __init__(self, place: Place, conversation: str, snapshots: Snapshots) -> None:
        super().__init__()
        self.level = 0  # how often it was brought level
        self._place = place
        self._conversation = conversation
        self._snapshots = snapshots

    async def open(self) -> None:
        """Follow from the beginning of an epoch."""
        position = await self._place.log.open(self._conversation, None, 0, {})
        assert position is not None
        await self._place.hub.join(self._place.tenant, self._conversation, self, position)
        self.level += 1

    def lose(self) -> None:
        """Read a snapshot, and follow again."""
        super().lose()
        self._back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        await self._snapshots.read()
        self._place.hub.leave(self._conversation, self)
        await self.open()


async def test_a_new_epoch_of_all_logs_does_not_overwhelm_the_store(place: Place) -> None:
    """Thousands of idle tabs lose their positions at once, and none of them is refused."""
    snapshots = Snapshots()
    tabs = {f"c_{number}": Tab(place, f"c_{number}", snapshots) for number in range(5000)}
    for tab in tabs.values():
        await tab.open()
    await place.log.drop(list(tabs))
    await until(lambda: all(tab.level == 2 for tab in tabs.values()))
    assert snapshots.refused == 0
    assert [tab.lost for tab in tabs.values()] == [1] * 5000
    assert len(place.hub._comebacks) == 0
    for name, tab in tabs.items():
        place.hub.leave(name, tab)


async def test_looking_after_followers_costs_what_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second in which nobody comes or goes looks at none of them."""
    counted: list[Channel] = []

    def count(channel: Channel, _: int) -> None:
        counted.append(channel)

    monkeypatch.setattr(Channel, "count", count)
    sent = [await place.sent() for _ in range(5)]
    listeners = [await place.follow(each) for each in sent]
    await place.hub.sweep()
    assert len(counted) == 5
    await place.hub.sweep()
    assert len(counted) == 5
    place.hub.leave(sent[0].conversation, listeners[0])
    await place.follow(sent[1])
    await place.hub.sweep()
    assert len(counted) == 6  # nobody is left to be told in the one that was closed


async def test_only_what_is_followed_is_looked_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many logs are remembered."""
    first, second = await place.sent(), await place.sent()
    listener = await place.follow(first)
    asked: list[list[str]] = []
    heads = place.log.heads

    async def watched(conversations: Collection[str]) -> Mapping[str, Position | None]:
        asked.append(list(conversations))
        return await heads(conversations)

    monkeypatch.setattr(place.log, "heads", watched)
    await place.hub.check()
    place.hub.leave(first.conversation, listener)
    await place.hub.check()
    assert asked == [[first.conversation]]
    assert second.conversation in place.hub._streams


async def test_so_many_are_counted_in_a_second_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all come back at once, the others hear of it in a few seconds."""
    monkeypatch.setattr("server.streams.hub.COUNTED_AT_ONCE", 2)
    sent = [await place.sent() for _ in range(3)]
    for each in sent * 2:
        await place.follow(each)
    told: list[str] = []
    monkeypatch.setattr(Channel, "count", lambda channel, _: told.append(channel.conversation))
    for _ in range(3):
        await place.hub.sweep()
    assert sorted(told) == sorted(each.conversation for each in sent)


async def test_who_follows_a_log_of_a_database_that_went_back_is_lost(place: Place) -> None:
    """All of them, where nothing new is told; then they follow as before."""
    sent = [await place.sent() for _ in range(3)]
    listeners = [await place.follow(each) for each in sent]
    place.hub.doubt()
    assert [listener.lost for listener in listeners] == [1, 1, 1]
    again = await place.follow(sent[0], 2)
    await place.sent(conversation=sent[0].conversation)
    await again.until(2)
    assert listeners[0].lost == 1
