"""A conversation as a device is shown it that has no position: whole, and of one moment."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import Raw

from protocol.codec import JSON
from protocol.frames.from_server import Attached, Chunk, Citation, MessageMade
from protocol.frames.objects import Cited, Source, Unfinished
from protocol.text import utf16_length
from protocol.types import Position, ResetReason, ToolState
from server.streams.pages import page
from server.streams.writer import Writer
from server.ws.snapshot import Shown, show
from storage.errors import NotFound
from storage.log import Checkpoint as Kept
from storage.log import Lost, Retention, Slice
from storage.records import NewToolCall, Sent, Snapshot
from storage.values import Owner
from tests.support.place import Listener, Place


async def shown(place: Place, sent: Sent, most: int = 50) -> Shown:
    """What a device of the owner is shown now."""
    return await show(
        place.hub, place.world.store.history, place.world.owner, sent.conversation, most
    )


def only(attached: Attached) -> Unfinished:
    """Its one answer under way."""
    (answer,) = attached.answers
    return answer


async def text_after(place: Place, sent: Sent, snapshot: Shown) -> str:
    """What the device has once the rest has come."""
    listener = Listener()
    await place.hub.join(place.tenant, sent.conversation, listener, snapshot.position)
    text = (only(snapshot.attached).text or "") + "".join(c.text for c in snapshot.rest)
    for frame in listener.frames:
        if isinstance(frame, Chunk):
            assert frame.offset == utf16_length(text)
            text += frame.text
    return text


async def checkpoint(place: Place, sent: Sent, writer: Writer) -> None:
    """SQL has all that was said, so the log need not keep it."""
    tail = writer.unsaved()
    await place.save(sent, tail)
    writer.saved(writer.length)
    assert tail.epoch is not None
    await place.log.checkpoint([Kept(sent.conversation, tail.epoch, sent.answer, tail.seq)])


def then(place: Place, happens: Callable[[], Awaitable[None]], patch: pytest.MonkeyPatch) -> None:
    """Have something happen once, between the next look at SQL and the one at the log."""
    history = place.world.store.history
    real = history.snapshot

    async def look(owner: Owner, conversation: str, *, limit: int = 50) -> Snapshot:
        patch.setattr(history, "snapshot", real)
        before = await real(owner, conversation, limit=limit)
        await happens()
        return before

    patch.setattr(history, "snapshot", look)


async def test_an_answer_under_way_is_shown_up_to_the_snapshots_place(place: Place) -> None:
    """Checkpointed text from SQL, the rest from the log, and no word twice behind it."""
    sent = await place.sent()
    writer = await place.writer(sent)
    for step, text in enumerate(["first ", "second 😀 ", "third "]):
        writer.text(text)
        await writer.settled()
        if step == 1:
            tail = writer.unsaved()
            await place.save(sent, tail)
            writer.saved(writer.length)
    snapshot = await shown(place, sent)
    attached = snapshot.attached
    assert not attached.recovered
    assert only(attached).text == "first second 😀 third "
    assert only(attached).length == utf16_length("first second 😀 third ")
    assert [message.content for message in attached.messages or []] == ["hello"]
    writer.text("fourth")
    await writer.settled()
    assert await text_after(place, sent, snapshot) == "first second 😀 third fourth"


async def test_nothing_is_lost_wherever_a_checkpoint_falls(place: Place) -> None:
    """A checkpoint further than the head that was looked at moves the snapshot's place."""
    sent = await place.sent()
    writer = await place.writer(sent)
    real = place.hub.head

    async def head_then_more(conversation: str) -> Position | None:
        before = await real(conversation)
        place.hub.head = real  # type: ignore[method-assign]
        writer.text("late ")
        await writer.settled()
        await place.save(sent, writer.unsaved())
        writer.saved(writer.length)
        return before

    place.hub.head = head_then_more  # type: ignore[method-assign] # something happens in between
    snapshot = await shown(place, sent)
    head = await real(sent.conversation)
    assert snapshot.position == head
    assert await text_after(place, sent, snapshot) == "late "


async def test_after_a_reset_only_the_new_attempt_is_shown(place: Place) -> None:
    """What was given up is nobody's text."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("wrong")
    await writer.settled()
    await place.world.store.internal.answers.reset(place.world.held(sent), attempt=1)
    await writer.reset(2, ResetReason.RETRY)
    writer.text("right")
    await writer.settled()
    answer = only((await shown(place, sent)).attached)
    assert (answer.text, answer.attempt) == ("right", 2)


async def test_a_long_text_comes_in_pieces_that_fit_frames(place: Place) -> None:
    """`attached` has its beginning and how long it is; chunks without a place bring the rest."""
    sent = await place.sent()
    writer = await place.writer(sent)
    whole = "\x01" * 50_000 + "😀" * 40_000 + "x" * 200_000
    writer.text(whole)
    await writer.settled()
    snapshot = await shown(place, sent)
    assert len(JSON.encode(snapshot.attached)) <= 256 * 1024
    assert all(len(JSON.encode(chunk)) <= 256 * 1024 for chunk in snapshot.rest)
    assert all(chunk.seq == 0 for chunk in snapshot.rest)
    assert only(snapshot.attached).length == utf16_length(whole)
    assert await text_after(place, sent, snapshot) == whole


async def test_an_ended_answer_is_a_message(place: Place) -> None:
    """And no answer under way."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("done")
    await writer.settled()
    await place.end(sent, writer)
    place.hub.done(writer)
    attached = (await shown(place, sent)).attached
    assert attached.answers == []
    assert [message.content for message in attached.messages or []] == ["hello", "done"]
    assert attached.leaf == sent.answer


async def test_a_log_that_is_gone_is_opened_for_its_owner_alone(place: Place) -> None:
    """A stranger's question opens nothing."""
    sent = await place.sent()
    await place.log.drop([sent.conversation])
    with pytest.raises(NotFound):
        await show(
            place.hub, place.world.store.history, place.world.neighbour, sent.conversation, 50
        )
    assert await place.hub.head(sent.conversation) is None
    snapshot = await shown(place, sent)
    assert snapshot.position == await place.hub.head(sent.conversation)


async def test_none_of_the_messages_may_be_wanted(place: Place) -> None:
    """`history: 0` still shows what is under way."""
    sent = await place.sent()
    attached = (await shown(place, sent, most=0)).attached
    assert attached.messages == []
    assert attached.more
    assert only(attached).answer == sent.answer


async def test_snapshots_taken_while_an_answer_streams_all_fit(place: Place) -> None:
    """At every moment of an answer, with checkpoints in between: the same text in the end."""
    sent = await place.sent()
    writer = await place.writer(sent)
    snapshots: list[Shown] = []

    async def look() -> None:
        for _ in range(12):
            snapshots.append(await shown(place, sent))
            tail = writer.unsaved()
            await place.save(sent, tail)
            writer.saved(tail.start + utf16_length(tail.text))

    async def speak() -> None:
        for number in range(400):
            writer.text(f"{number} ")
            await asyncio.sleep(0)

    await asyncio.gather(look(), speak())
    await writer.settled()
    whole = "".join(f"{number} " for number in range(400))
    for snapshot in snapshots:
        assert await text_after(place, sent, snapshot) == whole


@pytest.fixture
def meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Awaitable[None]]]:
    """What happens between the look at the log and the one at SQL; each once."""
    history = place.world.store.history
    read, happenings = history.snapshot, list[Callable[[], Awaitable[None]]]()

    async def late(owner: Owner, conversation: str, *, limit: int) -> Snapshot:
        if happenings:
            await happenings.pop(0)()
        return await read(owner, conversation, limit=limit)

    monkeypatch.setattr(history, "snapshot", late)
    return happenings


async def test_what_ended_meanwhile_and_is_not_shown_says_nothing_more(
    place: Place, meanwhile: list[Callable[[], Awaitable[None]]]
) -> None:
    """On another branch, or older than what is wanted: nobody could say whose that chunk is."""
    sent = await place.sent()
    writer = await place.writer(sent)
    writer.text("before ")
    await writer.settled()

    async def end() -> None:
        writer.text("after")
        await writer.settled()
        await place.end(sent, writer)
        place.hub.done(writer)

    meanwhile.append(end)
    snapshot = await shown(place, sent, most=0)
    assert (snapshot.attached.answers, snapshot.attached.messages) == ([], [])
    assert snapshot.position == await place.hub.head(sent.conversation)


async def test_what_began_meanwhile_is_named_before_it_speaks(
    place: Place, meanwhile: list[Callable[[], Awaitable[None]]]
) -> None:
    """The snapshot need not be taken anew for that."""
    first = await place.sent()
    await place.end(first, await place.writer(first))
    before = await place.hub.head(first.conversation)
    asked: list[Sent] = []

    async def ask() -> None:
        asked.append(await place.sent(conversation=first.conversation))
        writer = await place.writer(asked[0])
        writer.text("x")
        await writer.settled()
        await place.end(asked[0], writer)

    meanwhile.append(ask)
    snapshot = await shown(place, first, most=0)
    assert snapshot.position == before
    listener = Listener()
    await place.hub.join(place.tenant, first.conversation, listener, snapshot.position)
    named = [frame for frame in listener.frames if isinstance(frame, MessageMade | Chunk)]
    assert isinstance(named[-1], Chunk)
    assert asked[0].answer in [f.message.id for f in named if isinstance(f, MessageMade)]


async def test_citations_are_shown_up_to_the_snapshots_place(place: Place) -> None:
    """Those that were stored, those behind the checkpoint, none twice, none of a past attempt."""
    sent = await place.sent()
    writer = await place.writer(sent)
    source = Source(document="d_1", title="Guide")

    def cite(start: int, end: int) -> Cited:
        cited = Cited(start=start, end=end, sources=[source])
        writer.frame(
            Citation(
                conversation=sent.conversation,
                answer=sent.answer,
                start=start,
                end=end,
                sources=[source],
            )
        )
        return cited

    writer.text("one two")
    first = cite(0, 3)
    await writer.settled()
    await place.save(sent, writer.unsaved(), citations=[first])
    second = cite(4, 7)
    await writer.settled()
    assert only((await shown(place, sent)).attached).citations == [first, second]
    await place.world.store.internal.answers.reset(place.world.held(sent), attempt=1)
    await writer.reset(2, ResetReason.RETRY)
    await writer.settled()
    assert not only((await shown(place, sent)).attached).citations


async def test_many_tools_leave_room_for_the_rest(place: Place) -> None:
    """The oldest calls lose their results, so that what people must act on is seen whole."""
    sent = await place.sent()
    tools = place.world.store.internal.tools
    held = place.world.held(sent)
    for number in range(12):
        call = NewToolCall(
            id=f"k_{number:02}",
            name="long",
            step=0,
            arguments=Raw(b'{"n":%d}' % number),
            args_hash="00",
            state=ToolState.REQUESTED,
        )
        await tools.create(held, call)
        for seen, state in [("requested", "running"), ("running", "done")]:
            await tools.advance(
                held,
                call.id,
                seen=ToolState(seen),
                state=ToolState(state),
                result="\x01" * 10_000 if state == "done" else None,
            )
    attached = (await shown(place, sent)).attached
    assert len(JSON.encode(attached)) <= 256 * 1024
    calls = only(attached).tools or []
    assert [call.call for call in calls] == [f"k_{number:02}" for number in range(12)]
    assert all(call.arguments == {"n": n} for n, call in enumerate(calls))
    assert [call.result is None for call in calls] == [True] * 11 + [False]
    message = await place.world.store.history.message(place.world.owner, sent.answer)
    (bare,), cut = page([message])
    assert not cut
    assert bare.tools is not None
    assert len(bare.tools) == 12


async def test_a_log_that_keeps_little_shows_as_much(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of answers that never said anything no more is to be found than the log still has."""
    first = await place.sent()
    waiting = await place.world.send(conversation=first.conversation)
    await place.hub.tell(place.tenant, first.conversation)
    writer = await place.writer(first)
    monkeypatch.setattr(place.log, "_retention", Retention(entries=2))
    for number in range(5):
        writer.text(f"{number} ")
        await writer.settled()
        await checkpoint(place, first, writer)
    attached = (await shown(place, first)).attached
    texts = {answer.answer: answer.text for answer in attached.answers}
    assert texts == {first.answer: "0 1 2 3 4 ", waiting.answer: ""}
    assert await place.hub.before_row(first.conversation, first.numbers[0]) is None


async def test_what_the_log_gave_up_while_it_was_read_is_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL has it by then, and is asked again."""
    sent = await place.sent()
    writer = await place.writer(sent)
    monkeypatch.setattr(place.log, "_retention", Retention(entries=1))
    writer.text("said ")
    await writer.settled()

    async def given_up() -> None:
        await checkpoint(place, sent, writer)
        writer.text("and more")
        await writer.settled()

    then(place, given_up, monkeypatch)
    assert await text_after(place, sent, await shown(place, sent)) == "said and more"


async def test_what_an_answer_said_that_ended_while_the_log_was_read_is_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log keeps it no more, so it is the message that it has become."""
    sent = await place.sent()
    writer = await place.writer(sent)
    monkeypatch.setattr(place.log, "_retention", Retention(entries=1))
    writer.text("said")
    await writer.settled()

    async def ended() -> None:
        await place.end(sent, writer)
        await place.sent(conversation=sent.conversation)

    then(place, ended, monkeypatch)
    attached = (await shown(place, sent)).attached
    assert sent.answer not in {answer.answer for answer in attached.answers}
    assert "said" in [message.content for message in attached.messages or []]


async def test_a_log_may_move_on_while_a_silent_answer_is_looked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gave up was not that answer's, so it is shown at the first try."""
    sent = await place.sent()
    monkeypatch.setattr(place.log, "_retention", Retention(entries=1))
    looks = 0
    real = place.hub.read

    async def read(conversation: str, after: Position, limit: int) -> Slice | Lost:
        nonlocal looks
        looks += 1
        await place.sent(conversation=conversation)
        return await real(conversation, after, limit)

    monkeypatch.setattr(place.hub, "read", read)
    assert only((await shown(place, sent)).attached).answer == sent.answer
    assert looks == 1
