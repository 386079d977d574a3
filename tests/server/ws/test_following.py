"""Which conversations a socket follows, and how it is brought level."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from protocol.codec import JSON, Unknown
from protocol.codes import ErrorCode
from protocol.frames.from_client import Attach
from protocol.frames.from_server import Attached, Chunk, MessageMade, Typing
from protocol.types import Position
from server.errors import ChatError
from server.ws.following import Following
from server.ws.options import Options
from server.ws.outbox import Outbox
from storage.errors import NotFound, Unavailable
from storage.log import Append, Appended
from storage.records import Sent
from tests.support.place import Place
from tests.support.wire import FakeWire


class Device:
    """A socket's following, with what it was sent."""

    def __init__(self, place: Place) -> None:
        self.wire = FakeWire()
        self.tasks: set[asyncio.Task[None]] = set()
        self.adrift = 0
        outbox = Outbox(self.wire, JSON, Options(), lambda: None)
        self.following = Following(
            place.hub, place.world.store.history, outbox, self._spawn, self._count
        )
        self.following.owner = place.world.owner

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.create_task(work))

    def _count(self) -> None:
        self.adrift += 1

    async def attach(
        self, conversation: str, at: Position | None = None, most: int = 50
    ) -> Attached:
        """Attach, and what that was answered with."""
        answers: list[Attached] = []

        def answered(frame: Attached) -> None:
            answers.append(frame)
            self.following.outbox.send(frame)

        wanted = Attach(
            conversation=conversation,
            epoch=at.epoch if at else None,
            seq=at.seq if at else None,
        )
        await self.following.attach(wanted, most, answered)
        (attached,) = answers
        return attached

    async def settle(self) -> None:
        """Until nothing more is under way."""
        async with asyncio.timeout(10):
            while self.tasks:
                done, self.tasks = self.tasks, set()
                await asyncio.gather(*done)

    @property
    def text(self) -> str:
        """All chunks' texts."""
        return "".join(frame.text for frame in self.wire.frames if isinstance(frame, Chunk))


@pytest.fixture
def device(place: Place) -> Device:
    """The owner's."""
    return Device(place)


async def spoken(place: Place, *texts: str) -> Sent:
    """An answer that has said so much."""
    sent = await place.sent()
    writer = await place.writer(sent)
    for text in texts:
        writer.text(text)
        await writer.settled()
    return sent


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


async def test_messages_wait_for_the_ack_of_what_is_sent_and_nothing_else_does(
    place: Place, device: Device
) -> None:
    """A stop's end, or text, must not wait until a message is stored."""
    sent = await spoken(place, "one ")
    await device.attach(sent.conversation)
    writer = next(iter(place.hub._streams[sent.conversation].writers.values()))
    shown = len(device.wire.frames)
    done = [device.following.sending(sent.conversation) for _ in range(2)]
    writer.text("two")
    await writer.settled()
    assert len(device.wire.frames) == shown + 1
    await place.world.send(conversation=sent.conversation)
    await place.hub.tell(place.tenant, sent.conversation)
    writer.text(" three")
    await writer.settled()
    assert len(device.wire.frames) == shown + 1
    for each in [*done, *done]:  # each may be said twice
        each()
    kinds = [type(frame) for frame in device.wire.frames[shown:]]
    assert kinds == [Chunk, MessageMade, MessageMade, Chunk]


async def test_what_was_kept_back_is_dropped_where_it_has_no_place_any_more(
    place: Place, device: Device
) -> None:
    """The client detached, or a snapshot stands in its place."""
    sent = await place.sent()
    await device.attach(sent.conversation)
    done = device.following.sending(sent.conversation)
    await place.world.send(conversation=sent.conversation)
    await place.hub.tell(place.tenant, sent.conversation)
    await device.attach(sent.conversation)
    shown = len(device.wire.frames)
    done()
    assert len(device.wire.frames) == shown


async def test_who_attaches_while_sending_gets_the_ack_first_too(
    place: Place, device: Device
) -> None:
    """A client that comes back attaches and sends again in one breath."""
    sent = await spoken(place, "one ")
    done = device.following.sending(sent.conversation)
    position = await place.hub.position(place.tenant, sent.conversation)
    await place.world.send(conversation=sent.conversation)
    await place.hub.tell(place.tenant, sent.conversation)
    await device.attach(sent.conversation, position)
    writer = next(iter(place.hub._streams[sent.conversation].writers.values()))
    writer.text("two")
    await writer.settled()
    assert [type(frame) for frame in device.wire.frames] == [Attached]
    done()
    kinds = [type(frame) for frame in device.wire.frames]
    assert kinds == [Attached, MessageMade, MessageMade, Chunk]


async def test_a_text_told_anew_is_not_shown_twice(place: Place, device: Device) -> None:
    """A new epoch is told all of it, and the device was shown a part by SQL."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("saved ")
    await writer.settled()
    await place.save(sent, writer.unsaved())
    writer.saved(writer.length)
    writer.text("told ")
    await writer.settled()
    await place.log.drop([sent.conversation])
    attached = await device.attach(sent.conversation)
    assert [answer.text for answer in attached.answers] == ["saved "]
    writer.text("new")
    await writer.settled()
    assert device.text == "told new"
    offsets = [f.offset for f in device.wire.frames if isinstance(f, Chunk)]
    assert offsets[0] == len("saved ")


async def test_a_text_told_anew_brings_a_snapshot_to_who_came_with_a_position(
    place: Place, device: Device
) -> None:
    """The client was shown a part of it by a snapshot of this epoch, and nobody knows how much."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("saved ")
    await writer.settled()
    await place.save(sent, writer.unsaved())
    writer.saved(writer.length)
    await place.log.drop([sent.conversation])
    position = await place.other.position(place.tenant, sent.conversation)
    assert (await device.attach(sent.conversation, position)).recovered
    writer.text("new")
    await writer.settled()
    await device.settle()
    kinds = [type(frame) for frame in device.wire.frames]
    assert kinds[:2] == [Attached, Attached]
    shown = device.wire.frames[1]
    assert isinstance(shown, Attached)
    assert [answer.text for answer in shown.answers] == ["saved new"]
    assert device.text == ""


async def test_text_that_sql_had_before_the_log_brings_a_snapshot_too(
    place: Place, device: Device
) -> None:
    """The owner's log was away, and the client may have seen more than the log had."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("told ")
    await writer.settled()
    tail = structs.replace(writer.unsaved(), text="told ahead ")
    await place.save(sent, tail)
    assert (await device.attach(sent.conversation, writer.position)).recovered
    writer.text("ahead ")
    await writer.settled()
    writer.text("and on")
    await writer.settled()
    await device.settle()
    shown = [frame for frame in device.wire.frames if isinstance(frame, Attached)]
    assert [frame.recovered for frame in shown] == [True, False]
    seen = "".join(answer.text or "" for answer in shown[1].answers) + device.text
    assert seen == "told ahead and on"


async def test_who_resumes_behind_a_checkpoint_needs_no_snapshot(
    place: Place, device: Device
) -> None:
    """The usual case: the log had the text before SQL, and goes on behind it."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("saved ")
    await writer.settled()
    await place.save(sent, writer.unsaved())
    assert (await device.attach(sent.conversation, writer.position)).recovered
    for text in ("and ", "on"):
        writer.text(text)
        await writer.settled()
    await device.settle()
    assert [type(frame) for frame in device.wire.frames] == [Attached, Chunk, Chunk]


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
