"""Which conversations a socket follows, and how it is brought level."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocol.codec import Unknown
from protocol.codes import ErrorCode
from protocol.frames.from_server import Attached, Chunk, MessageMade, Typing
from protocol.types import Position
from server.errors import ChatError
from storage.errors import NotFound, Unavailable
from storage.log import Append, Appended
from storage.records import Sent
from tests.server.ws.device import Device, spoken
from tests.support.place import Place


@pytest.fixture
def device(place: Place) -> Device:
    """The owner's."""
    return Device(place)


async def test_a_known_position_gets_what_was_missed_in_one_frame(
    place: Place, device: Device
) -> None:
    """No messages, no text in `answers`: the client has them."""
    sent = await spoken(place, "a", "b", "c", "d")
    head = await place.hub.head(sent.conversation)
    assert head is not None
    attached = await device.attach(sent.conversation, Position(head.epoch, 3))
    assert attached.recovered
    assert attached.seq == 3
    assert attached.messages is None
    assert [answer.text for answer in attached.answers] == [None]
    (_, chunk) = device.wire.frames
    assert isinstance(chunk, Chunk)
    assert (chunk.text, chunk.since, chunk.seq) == ("bcd", 4, 6)


async def newer(place: Place) -> tuple[Sent, Position]:
    """A newer version has told of a mood, between two texts; and the place before all that."""
    sent = await spoken(place, "a")
    begins = await place.hub.head(sent.conversation)
    assert begins is not None
    writer = next(iter(place.hub._streams[sent.conversation].writers.values()))
    body = b'{"type":"mood","conversation":"%s","mood":"glad"}' % sent.conversation.encode()
    answer = writer.answer
    place.hub.done(writer)
    asked = Append(answer.conversation, answer.id, answer.fence, 2, body, begins)
    [result] = await place.log.append([asked])
    assert isinstance(result, Appended)
    writer = await place.writer(sent)
    writer.go_on_from("a", 1)
    writer.text("b")
    await writer.settled()
    return sent, begins


async def test_what_a_newer_version_told_is_passed_on_in_its_place(
    place: Place, device: Device
) -> None:
    """To who resumes before it, and what follows comes behind it without a gap."""
    sent, begins = await newer(place)
    assert (await device.attach(sent.conversation, begins)).recovered
    await device.settle()
    _, mood, chunk = device.wire.frames
    assert mood == Unknown("mood", sent.conversation, begins.seq + 1)
    assert b'"mood":"glad"' in device.wire.written[1]
    assert isinstance(chunk, Chunk)
    assert (chunk.seq, chunk.text) == (begins.seq + 2, "b")


async def test_a_snapshot_passes_over_what_a_newer_version_told(
    place: Place, device: Device
) -> None:
    """The text on both sides of it is shown."""
    sent, _ = await newer(place)
    attached = await device.attach(sent.conversation)
    assert [answer.text for answer in attached.answers] == ["ab"]


@pytest.mark.parametrize(("epoch", "seq"), [("other", 0), (None, None), ("present", 99)])
async def test_a_position_that_is_no_place_gets_a_snapshot(
    place: Place, device: Device, epoch: str | None, seq: int | None
) -> None:
    """Another epoch, none at all, or one that the log never reached."""
    sent = await spoken(place, "text")
    head = await place.hub.head(sent.conversation)
    assert head is not None
    at = None
    if epoch is not None and seq is not None:
        at = Position(head.epoch if epoch == "present" else epoch, seq)
    attached = await device.attach(sent.conversation, at)
    assert not attached.recovered
    assert Position(attached.epoch, attached.seq) == head
    assert [answer.text for answer in attached.answers] == ["text"]


async def test_attaching_twice_is_attaching_once(place: Place, device: Device) -> None:
    """Nothing comes doubled."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    await device.attach(sent.conversation)
    assert len(device.following) == 1
    writer = next(iter(place.hub._streams[sent.conversation].writers.values()))
    writer.text(" more")
    await writer.settled()
    assert device.text == " more"


async def test_sending_follows_from_before_what_was_sent(place: Place, device: Device) -> None:
    """The frames of the message come, whether they were told before or after."""
    sent = await place.sent()
    head = await place.hub.head(sent.conversation)
    assert head is not None
    device.following.follow(sent.conversation, Position(head.epoch, 0))
    await device.settle()
    made = [frame.message.id for frame in device.wire.frames if isinstance(frame, MessageMade)]
    assert made == [sent.message, sent.answer]


async def test_where_the_place_before_is_gone_a_snapshot_comes(
    place: Place, device: Device
) -> None:
    """`attached` before any other frame."""
    sent = await spoken(place, "text")
    device.following.follow(sent.conversation, None)
    await device.settle()
    assert [type(frame) for frame in device.wire.frames] == [Attached]


@pytest.mark.parametrize("how", ["with a position", "without", "sent"])
async def test_a_log_that_is_away_for_a_moment_costs_nobody_a_snapshot(
    how: str, place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position it has stays good, and what comes behind it comes once."""
    sent = await spoken(place, "a")
    head = await place.hub.head(sent.conversation)
    assert head is not None
    join, tries = place.hub.join, 0

    async def flickering(*asked: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Unavailable("a test")
        await join(*asked)

    monkeypatch.setattr("server.ws.following.RETRY_S", 0.01)
    monkeypatch.setattr(place.hub, "join", flickering)
    if how == "sent":
        device.following.follow(sent.conversation, head)
    else:
        position = head if how == "with a position" else None
        assert (await device.attach(sent.conversation, position)).recovered == (how != "without")
    writer = next(iter(place.hub._streams[sent.conversation].writers.values()))
    writer.text("b")
    await writer.settled()
    await device.settle()
    shown = [type(frame) for frame in device.wire.frames]
    assert shown == ([Chunk] if how == "sent" else [Attached, Chunk])
    assert (device.text, tries, device.adrift) == ("b", 4, 0)


@pytest.mark.parametrize("what", ["detached", "attached again", "in doubt", "lost"])
async def test_what_happens_between_two_tries_counts(
    what: str, place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who follows no more closes nothing; a position that is not so any more is shown another."""
    sent = await spoken(place, "a")
    head = await place.hub.head(sent.conversation)
    join, away = place.hub.join, asyncio.Event()

    async def flickering(*asked: Any) -> None:
        if not away.is_set():
            away.set()
            raise Unavailable("a test")
        await join(*asked)

    monkeypatch.setattr("server.ws.following.LEVEL_WITHIN_S", 0.0)
    monkeypatch.setattr("server.ws.following.RETRY_S", 0.01)
    monkeypatch.setattr(place.hub, "join", flickering)
    assert (await device.attach(sent.conversation, head)).recovered
    assert away.is_set()
    match what:
        case "detached":
            device.following.detach(sent.conversation)
        case "attached again":
            await device.attach(sent.conversation, head)
        case "in doubt":
            place.hub.doubt()
        case "lost":
            await place.log.drop([sent.conversation])
    await device.settle()
    shown = [frame.recovered for frame in device.wire.frames if isinstance(frame, Attached)]
    assert (
        shown
        == {
            "detached": [True],
            "attached again": [True, True],
            "in doubt": [True, False],
            "lost": [True, False],
        }[what]
    )
    assert device.adrift == 0
    assert len(device.following) == (what != "detached")


@pytest.mark.parametrize("error", [Unavailable("a test"), NotFound("conversation", "c")])
async def test_who_was_let_go_is_not_given_up(
    error: Exception, place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be shown any more is wanted by nobody, and the socket's others are in order."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    gate = asyncio.Event()

    async def refused(*_: object, **__: object) -> None:
        await gate.wait()
        raise error

    monkeypatch.setattr("server.ws.following.LEVEL_WITHIN_S", 0.0)
    monkeypatch.setattr(place.world.store.history, "snapshot", refused)
    device.following.lost(device.following._attachments[sent.conversation])
    await asyncio.sleep(0)
    device.following.detach(sent.conversation)
    gate.set()
    await device.settle()
    assert (device.adrift, len(device.following)) == (0, 0)


async def test_a_doubt_while_it_is_shown_has_it_shown_again(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went back between the reading and the following."""
    sent = await spoken(place, "text")
    snapshot, doubts = place.world.store.history.snapshot, 1

    async def in_between(*asked: Any, **how: Any) -> Any:
        nonlocal doubts
        found = await snapshot(*asked, **how)
        if doubts:
            doubts -= 1
            place.hub.doubt()
        return found

    monkeypatch.setattr(place.world.store.history, "snapshot", in_between)
    await device.attach(sent.conversation)
    await device.settle()
    assert [type(frame) for frame in device.wire.frames] == [Attached, Attached]
    assert place.hub._channel(sent.conversation) is not None


async def test_a_log_that_stays_away_gives_the_socket_up(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request itself waits for nothing: the socket is closed beside it."""
    sent = await spoken(place, "text")
    head = await place.hub.head(sent.conversation)

    async def away(*_: object) -> None:
        raise Unavailable("a test")

    monkeypatch.setattr("server.ws.following.LEVEL_WITHIN_S", 0.05)
    monkeypatch.setattr("server.ws.following.RETRY_S", 0.02)
    monkeypatch.setattr(place.hub, "join", away)
    assert (await device.attach(sent.conversation, head)).recovered
    assert device.adrift == 0
    await device.settle()
    assert device.adrift == 1
    assert [type(frame) for frame in device.wire.frames] == [Attached]


async def test_an_epochs_end_is_told_unasked(place: Place, device: Device) -> None:
    """The socket stays, and is level again."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    await place.log.drop([sent.conversation])
    await place.hub.check()
    await asyncio.sleep(0)
    await device.settle()
    again = [frame for frame in device.wire.frames if isinstance(frame, Attached)]
    assert [frame.recovered for frame in again] == [False, False]
    assert device.adrift == 0


async def test_a_socket_that_cannot_be_brought_level_is_given_up(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while of trying."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("a test")

    monkeypatch.setattr("server.ws.following.LEVEL_WITHIN_S", 0.0)
    monkeypatch.setattr(place.world.store.history, "snapshot", away)
    device.following.lost(device.following._attachments[sent.conversation])
    await device.settle()
    assert device.adrift == 1


async def test_one_attachment_too_many_is_refused(place: Place, device: Device) -> None:
    """Attaching again to one of them is none too many."""
    one, two = await place.sent(), await place.sent()
    await device.attach(one.conversation, most=1)
    await device.attach(one.conversation, most=1)
    with pytest.raises(ChatError) as refused:
        await device.attach(two.conversation, most=1)
    assert refused.value.code is ErrorCode.QUOTA_EXCEEDED
    device.following.detach(one.conversation)
    await device.attach(two.conversation, most=1)


async def test_a_strangers_conversation_is_not_there(place: Place, device: Device) -> None:
    """With a position or without."""
    sent = await spoken(place, "secret")
    head = await place.hub.head(sent.conversation)
    device.following.owner = place.world.neighbour
    for at in (None, head):
        with pytest.raises(NotFound):
            await device.attach(sent.conversation, at)
    assert len(device.following) == 0
    assert device.wire.written == []


async def test_typing_reaches_the_other_devices_alone(place: Place, device: Device) -> None:
    """And only from who follows the conversation."""
    sent = await place.sent()
    other = Device(place)
    await other.attach(sent.conversation)
    device.following.typing(sent.conversation)
    assert not any(isinstance(frame, Typing) for frame in other.wire.frames)
    await device.attach(sent.conversation)
    device.following.typing(sent.conversation)
    assert isinstance(other.wire.frames[-1], Typing)
    assert not any(isinstance(frame, Typing) for frame in device.wire.frames)


async def test_after_the_end_nothing_is_left(place: Place, device: Device) -> None:
    """No follower, no subscription."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    device.following.end()
    assert place.hub._channel(sent.conversation) is None


async def test_what_is_under_way_at_the_end_comes_to_nothing(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever take that follower away again."""
    sent = await spoken(place, "text")
    head = await place.hub.head(sent.conversation)
    gate, snapshot = asyncio.Event(), place.world.store.history.snapshot

    async def slow(*args: Any, **fields: Any) -> Any:
        await gate.wait()
        return await snapshot(*args, **fields)

    monkeypatch.setattr(place.world.store.history, "snapshot", slow)
    under_way = [
        asyncio.create_task(device.attach(sent.conversation)),
        asyncio.create_task(device.attach(sent.conversation, head)),
    ]
    await asyncio.sleep(0)
    device.following.end()
    gate.set()
    await asyncio.gather(*under_way)
    device.following.follow(sent.conversation, head)
    device.following.follow(sent.conversation, None)
    await device.settle()
    assert len(device.following) == 0
    assert place.hub._channel(sent.conversation) is None


async def test_who_detaches_while_shown_anew_is_sent_nothing_more(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch ended, and the client wants none of it any longer."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    gate, snapshot = asyncio.Event(), place.world.store.history.snapshot

    async def slow(*args: Any, **fields: Any) -> Any:
        await gate.wait()
        return await snapshot(*args, **fields)

    monkeypatch.setattr(place.world.store.history, "snapshot", slow)
    before = len(device.wire.written)
    device.following.lost(device.following._attachments[sent.conversation])
    await asyncio.sleep(0)
    device.following.detach(sent.conversation)
    gate.set()
    await device.settle()
    assert (len(device.wire.written), len(device.following)) == (before, 0)
    assert place.hub._channel(sent.conversation) is None


async def test_a_log_that_cannot_be_followed_is_given_up_in_time(
    place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not shown again and again, without a pause and for ever."""
    sent = await spoken(place, "text")
    await device.attach(sent.conversation)
    attachment = device.following._attachments[sent.conversation]

    async def away(*_: object) -> None:
        raise Unavailable("a test")

    monkeypatch.setattr("server.ws.following.LEVEL_WITHIN_S", 0.05)
    monkeypatch.setattr("server.ws.following.RETRY_S", 0.02)
    monkeypatch.setattr(place.hub, "join", away)
    before = len(device.wire.written)
    device.following.lost(attachment)
    await device.settle()
    assert device.adrift == 1
    assert len(device.wire.written) - before < 6


@pytest.mark.parametrize("anew", [True, False], ids=["shown again", "sent"])
async def test_a_fault_in_joining_closes_the_socket(
    anew: bool, place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would show a conversation that it follows no more, and nobody would know."""
    sent = await spoken(place, "text")
    head = await place.hub.head(sent.conversation)
    if anew:
        await device.attach(sent.conversation)

    async def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(place.hub, "join", broken)
    with capture_logs() as logged:
        if anew:
            device.following.lost(device.following._attachments[sent.conversation])
        else:
            device.following.follow(sent.conversation, head)
        await device.settle()
    assert device.adrift == 1
    assert [line["log_level"] for line in logged] == ["error"]


async def test_a_log_ahead_of_the_database_is_no_place_to_go_on_from(
    place: Place, device: Device
) -> None:
    """SQL was restored: it has fewer rows than were told."""
    first = await place.sent()
    gone = await place.sent(conversation=first.conversation)
    head = await place.hub.head(first.conversation)
    assert head is not None
    await place.restore(gone)
    attached = await device.attach(first.conversation, head)
    assert not attached.recovered
    assert attached.epoch != head.epoch
    assert {answer.answer for answer in attached.answers} == {first.answer}
    again = await device.attach(first.conversation, Position(attached.epoch, attached.seq))
    assert again.recovered


async def test_a_conversation_that_is_gone_cannot_be_kept_level(
    place: Place, device: Device
) -> None:
    """The client attaches again and is told so."""
    sent = await place.sent()
    await device.attach(sent.conversation)
    await place.world.run("UPDATE conversations SET deleted_at = 1")
    place.hub.doubt()
    await device.settle()
    assert device.adrift == 1
    assert sent.conversation not in device.following


@pytest.mark.parametrize("how", ["snapshot", "standing"])
async def test_what_is_deleted_while_it_is_read_is_not_followed(
    how: str, place: Place, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attach that saw it before is refused, as one would be that comes later."""
    sent = await spoken(place, "text")
    at = await place.hub.head(sent.conversation) if how == "standing" else None
    reading, gate = asyncio.Event(), asyncio.Event()
    read = getattr(place.world.store.history, how)

    async def slow(*args: Any, **fields: Any) -> Any:
        found = await read(*args, **fields)
        reading.set()
        await gate.wait()
        return found

    monkeypatch.setattr(place.world.store.history, how, slow)
    attaching = asyncio.create_task(device.attach(sent.conversation, at))
    await reading.wait()
    device.following.gone(sent.conversation)
    gate.set()
    with pytest.raises(NotFound):
        await attaching
    await device.settle()
    assert (device.wire.written, len(device.following)) == ([], 0)
    assert place.hub._channel(sent.conversation) is None
    assert device.following._gone == set()  # nothing is remembered for longer than it is needed


async def test_what_is_deleted_while_something_is_sent_there_is_not_followed(
    place: Place, device: Device
) -> None:
    """The message was stored before; the `ack` comes all the same."""
    sent = await spoken(place, "text")
    head = await place.hub.head(sent.conversation)
    over = device.following.sending(sent.conversation)
    device.following.gone(sent.conversation)
    device.following.follow(sent.conversation, head)
    over()
    await device.settle()
    assert len(device.following) == 0
    assert place.hub._channel(sent.conversation) is None
