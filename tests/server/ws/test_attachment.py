"""What comes of a conversation that a socket follows, and when."""

import pytest
from msgspec import structs

from protocol.frames.from_server import Attached, Chunk, MessageMade
from tests.server.ws.device import Device, spoken
from tests.support.place import Place


@pytest.fixture
def device(place: Place) -> Device:
    """The owner's."""
    return Device(place)


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


async def test_text_that_sql_had_before_the_log_is_not_forgotten_when_both_have_it(
    place: Place, device: Device
) -> None:
    """Who was shown it then comes back when a later checkpoint stands behind all of it."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("told ")
    await writer.settled()
    at = writer.position
    await place.save(sent, structs.replace(writer.unsaved(), text="told ahead "))
    shown = await Device(place).attach(sent.conversation)
    assert ([answer.text for answer in shown.answers], shown.seq) == (["told ahead "], at.seq)
    for text in ("ahead ", "and on"):
        writer.text(text)
        await writer.settled()
    await place.save(sent, structs.replace(writer.unsaved(), start=11, text="and on"))
    assert (await device.attach(sent.conversation, at)).recovered
    await device.settle()
    again = device.wire.frames[-1]
    assert isinstance(again, Attached)
    assert [answer.text for answer in again.answers] == ["told ahead and on"]
    assert device.text == ""


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
