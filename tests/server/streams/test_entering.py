"""Answers that come into epochs which others opened, or which end on their way."""

from collections.abc import Mapping

import pytest
from msgspec import structs

from protocol.frames.from_server import Chunk, Complete, MessageMade
from protocol.types import Position
from storage.errors import Fenced, Unavailable
from storage.log import ROWS, Append, Refused, Registered
from storage.memory.log import MemoryLog
from storage.records import Commit, CommitKind, Opening
from tests.support.place import Listener, Place


async def test_nothing_is_said_where_the_row_is_not_told(place: Place) -> None:
    """It was told before; an epoch from an older reading would tell the answer without it."""
    first = await place.sent()
    second = await place.world.send(conversation=first.conversation)
    await place.hub.tell(place.tenant, first.conversation)
    await place.hub.sweep()  # marked as told
    await place.log.drop([first.conversation])
    await place.log.open(first.conversation, None, 2, {})  # whose opener knows two rows
    writer = await place.writer(second)
    writer.text("text")
    await writer.settled()
    listener = await place.follow(second)
    assert [type(frame) for frame in listener.frames] == [Chunk]
    head = await place.hub.head(first.conversation)
    assert head is not None
    rows = await place.log.fence(first.conversation, head.epoch, "*", 0)
    assert rows == Registered(4)


async def test_an_answer_that_goes_on_in_another_epoch_says_there_what_it_said(
    place: Place,
) -> None:
    """Its owner let go of it; who opened the epoch saw less of it, and so did its followers."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("before ")
    await writer.settled()
    await place.save(sent, writer.unsaved())
    place.hub.done(writer)
    await place.log.drop([sent.conversation])
    position = await place.other.position(place.tenant, sent.conversation)
    listener = Listener()
    await place.other.join(place.tenant, sent.conversation, listener, position)
    writer = await place.writer(sent)
    writer.text("after")
    await writer.settled()
    assert listener.text == "before after"
    assert isinstance(listener.frames[0], Chunk)
    assert listener.frames[0].offset == 0


async def test_checkpoints_while_an_answer_is_moved_cost_no_text(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come: each time SQL was read it has more by the time the answer is told."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    answers = place.world.store.internal.answers
    opening = answers.opening

    async def behind(*asked: str) -> Opening:
        found = await opening(*asked)
        left = writer.unsaved()
        if left.text and writer.moving:
            await place.save(sent, structs.replace(left, text=left.text[0]))
            writer.saved(left.start + 1)
        return found

    monkeypatch.setattr(answers, "opening", behind)
    await place.log.drop([sent.conversation])
    writer.text(" more")
    await writer.settled()
    assert (await place.follow(sent)).text == "text more"


async def test_a_log_below_a_checkpoint_is_given_up(place: Place) -> None:
    """It was rolled back, and nothing else of this instance has seen that."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    tail = writer.unsaved()
    await place.world.run(
        "UPDATE answers SET epoch = :epoch, seq = 50 WHERE id = :id",
        epoch=tail.epoch or "",
        id=sent.answer,
    )
    place.hub.done(writer)
    writer = await place.writer(sent)
    writer.text("more")
    await writer.settled()
    assert writer.position.epoch != tail.epoch


async def test_epochs_that_end_too_fast_are_the_logs_fault(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is still its owner's, who asks again."""
    sent = await place.sent()
    fence = MemoryLog.fence

    async def lost(
        log: MemoryLog, conversation: str, epoch: str, source: str, number: int
    ) -> Registered | Refused:
        await log.drop([conversation])
        return await fence(log, conversation, epoch, source, number)

    monkeypatch.setattr(MemoryLog, "fence", lost)
    with pytest.raises(Unavailable):
        await place.writer(sent)
    monkeypatch.setattr(MemoryLog, "fence", fence)
    await place.writer(sent)


async def test_an_answer_that_ended_enters_no_more(place: Place) -> None:
    """Whoever is late learns that it is over."""
    sent = await place.sent()
    writer = await place.writer(sent)
    await place.end(sent, writer)
    with pytest.raises(Fenced):
        await place.hub.writer(writer.answer)


async def test_another_tells_an_end_only_where_its_text_was_told(place: Place) -> None:
    """The owner ended it and could not tell; the epoch was opened between text and end."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    place.hub.done(writer)
    await place.log.drop([sent.conversation])
    position = await place.other.position(place.tenant, sent.conversation)
    listener = Listener()
    await place.other.join(place.tenant, sent.conversation, listener, position)
    await place.world.end(place.world.held(sent), "text")
    await place.other.tell(place.tenant, sent.conversation)
    await listener.until_lost()
    assert listener.entries == []


async def test_another_tells_an_end_behind_its_text(place: Place) -> None:
    """The usual case: the same epoch has both."""
    sent = await place.sent()
    writer = await place.writer(sent)
    listener = await place.follow(sent)
    writer.text("text")
    await writer.settled()
    place.hub.done(writer)
    ended = await place.world.end(place.world.held(sent), "text")
    commit = Commit(number=ended.number, kind=CommitKind.COMPLETE, row=ended)
    await place.other.tell(place.tenant, sent.conversation, [commit])
    await place.hub.tell(place.tenant, sent.conversation, [commit])
    kinds = [type(frame) for frame in listener.frames]
    assert kinds == [MessageMade, MessageMade, Chunk, Complete]
    assert listener.lost == 0


async def test_what_cannot_be_asked_is_not_taken_for_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer's log is out of reach while it is to be mended: no epoch is opened blindly."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("text")
    await writer.settled()
    epoch = writer.position.epoch
    heads = place.log.heads

    async def none(_: object) -> Mapping[str, Position | None]:
        return {}

    monkeypatch.setattr(place.log, "heads", none)
    with pytest.raises(Unavailable):
        await place.hub.begin_anew(writer)
    with pytest.raises(Unavailable):
        await place.hub.position(place.tenant, sent.conversation)
    monkeypatch.setattr(place.log, "heads", heads)
    head = await place.hub.head(sent.conversation)
    assert head is not None
    assert head.epoch == epoch


@pytest.mark.parametrize("ends", [True, False])
async def test_an_end_that_only_the_log_has_is_none(place: Place, *, ends: bool) -> None:
    """Nor has an owner lost it of whom SQL does not know: it was restored from before that."""
    sent = await place.sent()
    before = await place.writer(sent)
    place.hub.done(before)
    conversation, epoch = sent.conversation, before.position.epoch
    if ends:
        await place.log.append(
            [Append(conversation, ROWS, 0, 3, b"{}", before.position, ends=sent.answer)]
        )
    else:
        await place.log.fence(conversation, epoch, sent.answer, 7)
    writer = await place.writer(sent)
    assert writer.position.epoch != epoch
    writer.text("text")
    await writer.settled()
    await place.end(sent, writer)
    assert place.reports == []
    with pytest.raises(Fenced):
        await place.writer(sent)
