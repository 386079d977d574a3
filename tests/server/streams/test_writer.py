"""One answer's way into its log, in virtual time: order, pace, back-pressure, faults."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from protocol.frames.from_server import Chunk, Citation, Reset, Status, Thought, Tool
from protocol.frames.objects import Cited
from protocol.text import utf16_length
from protocol.types import ResetReason, ToolState
from server.streams.options import Options
from server.streams.writer import Writer
from storage.errors import Fenced
from storage.log import Refusal, Refused
from storage.records import Tail
from tests.server.streams.desk import Author, Desk, shown, status
from tests.support.faultylog import Fault
from tests.support.virtual import running, virtually

CITATION = Citation(conversation="c_1", answer="m_2", start=0, end=1, sources=[])
THOUGHT = Thought(conversation="c_1", answer="m_2", offset=0, text="x")
TOOL = Tool(conversation="c_1", answer="m_2", call="t_1", name="t", state=ToolState.DONE)

Play = Callable[[Desk, Writer], Awaitable[None]]


def play(script: Play, options: Options | None = None) -> None:
    """One answer, in virtual time."""

    async def main() -> None:
        desk = Desk(options)
        (writer,) = await desk.begin("m_2")
        await script(desk, writer)
        await desk.close()

    virtually(main())


async def turns(count: int = 5) -> None:
    """Let everything happen that can happen now."""
    for _ in range(count):
        await asyncio.sleep(0)


# ── order and pace ───────────────────────────────────────────────────────────────────────────────


def test_frames_keep_their_place_between_the_texts() -> None:
    """However much gathers."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.frame(status())
        writer.text("a")
        writer.text("b")
        writer.frame(status())
        writer.text("c")
        await writer.settled()
        assert shown(await desk.frames()) == ["Status", "ab", "Status", "c"]

    play(script)


def test_a_token_after_a_pause_leaves_at_once_and_others_gather() -> None:
    """At least so much lies between two appends, and at most."""

    async def script(desk: Desk, writer: Writer) -> None:
        began = running().time()
        times: list[float] = []
        for _ in range(10):  # a token each 3 ms
            writer.text("x")
            await turns()
            times += [running().time() - began] * (len(desk.log.appends) - len(times))
            await asyncio.sleep(0.003)
        await writer.settled()
        assert times[0] == 0.0
        gaps = [round(after - before, 3) for before, after in pairwise(times)]
        assert all(0.009 <= gap <= 0.013 for gap in gaps), gaps
        assert await desk.told() == "x" * 10
        await asyncio.sleep(1)
        before = len(desk.log.appends)
        writer.text("y")
        await turns()
        assert len(desk.log.appends) == before + 1

    play(script)


def test_a_timer_per_append_not_per_token() -> None:
    """Tokens that gather cost nothing but their place in a list."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("first")
        await turns()
        before = running().timers
        for _ in range(1000):
            writer.text("x")
        assert running().timers == before + 1
        await writer.settled()

    play(script)


def test_text_under_way_counts_to_its_length() -> None:
    """A citation names spans of what was said, told already or not."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("😀")
        await writer.settled()
        desk.log.gate.clear()
        writer.text("ab")
        await asyncio.sleep(0.05)
        writer.text("c")
        assert writer.length == 5
        assert "c" not in repr(writer)
        desk.log.gate.set()
        await writer.settled()
        assert writer.length == 5

    play(script)


def test_what_is_settled_does_not_wait_for_the_pace() -> None:
    """An answer's end comes now."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("a")
        await turns()
        began = running().time()
        writer.text("b")
        await writer.settled()
        assert running().time() == began
        assert await desk.told() == "ab"

    play(script, Options(gather_ms=1000))


def test_nothing_more_is_to_be_read_while_too_much_waits() -> None:
    """Until it was told."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.gate.clear()
        writer.text("a")
        await turns()
        writer.text("b" * 1024)
        before = writer.full
        writer.text("c")
        assert (before, writer.full) == (False, True)
        waiting = asyncio.create_task(writer.room())
        await turns()
        assert not waiting.done()
        desk.log.gate.set()
        await waiting
        await writer.settled()
        assert len(await desk.told()) == 1026

    play(script, Options(gathered_bytes=1024))


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", list(Fault))
def test_without_a_reply_the_same_is_asked_again(fault: Fault) -> None:
    """The very same bytes and ordinals, until the log says; later text waits behind it."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.faults.extend([fault] * 3)
        writer.frame(status())
        writer.text("one ")
        await asyncio.sleep(0.05)
        writer.text("two")
        await writer.settled()
        batches = desk.log.appends
        assert batches[:4] == [batches[0]] * 4
        assert shown(await desk.frames()) == ["Status", "one ", "two"]
        assert writer.unsaved().text == "one two"

    play(script)


def test_tool_calls_are_told_though_the_rest_is_cut() -> None:
    """They stand in SQL already; a citation that nobody was shown does not."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("one")
        writer.frame(CITATION)
        await writer.settled()
        writer.text("two")
        for frame in (TOOL, CITATION, status(), THOUGHT, TOOL):
            writer.frame(frame)
        await writer.cut()
        assert shown(await desk.frames()) == ["one", "Citation", "Tool", "Tool"]
        assert (writer.unsaved().text, writer.cited, writer.full) == ("one", 1, False)

    play(script)


def test_a_citation_counts_when_it_stands_in_the_log() -> None:
    """Not while it waits or is under way, and once however often it is asked for."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.faults += [Fault.AWAY, Fault.NO_REPLY]
        writer.text("text")
        writer.frame(CITATION)
        await turns()
        assert (len(desk.log.appends), writer.cited) == (1, 0)
        await writer.settled()
        assert writer.cited == 1
        await desk.lose()
        writer.frame(CITATION)
        await writer.settled()
        assert writer.cited == 2

    play(script)


def test_a_new_epoch_is_told_the_citations_that_sql_has_not() -> None:
    """Behind the text that they are of, and before what is new."""

    async def script(desk: Desk, writer: Writer) -> None:
        stored, lacking = CITATION, structs.replace(CITATION, end=4)
        writer.text("text")
        writer.frame(stored)
        writer.frame(lacking)
        await writer.settled()
        desk.log.gate.clear()
        writer.text(" more")
        known = Cited(start=stored.start, end=stored.end, sources=stored.sources)
        position = await desk.log.open("c_1", writer.position.epoch, 0, {"m_2": 1})
        assert position is not None
        writer.renew(position, 0, "text", [known])
        assert writer.cited == 1
        desk.log.gate.set()
        await writer.settled()
        assert shown(await desk.frames()) == ["text", "Citation", " more"]
        assert [one for one in await desk.frames() if isinstance(one, Citation)] == [
            structs.replace(lacking, seq=2)
        ]
        assert writer.cited == 2

    play(script)


def test_thoughts_fill_the_queue_as_text_does() -> None:
    """And empty it when they are told."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.gate.clear()
        writer.text("x")
        await turns()
        for _ in range(1025):
            writer.frame(THOUGHT)
        assert writer.full
        desk.log.gate.set()
        await writer.room()
        assert not writer.full

    play(script, Options(gathered_bytes=1024))


def test_another_owner_ends_it() -> None:
    """What waits is dropped, who waits is told, and later words go nowhere."""

    async def script(desk: Desk, writer: Writer) -> None:
        await desk.log.fence("c_1", writer.position.epoch, "m_2", 7)
        writer.text("zombie")
        room = asyncio.create_task(writer.room())
        with pytest.raises(Fenced):
            await writer.settled()
        await room
        writer.text("more")
        await writer.cut()
        with pytest.raises(Fenced):
            await writer.reset(2, ResetReason.RETRY)
        await asyncio.sleep(1)
        assert await desk.frames() == []
        assert desk.mended == [Refusal.FENCED]

    play(script)


def test_who_speaks_on_though_it_is_lost_keeps_nobody_busy() -> None:
    """It will hear of it; until then its words go nowhere, at once."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.lose()
        writer.text("zombie")
        await asyncio.sleep(1)
        writer.text("more")
        await asyncio.sleep(1)
        assert (desk.log.appends, writer.length) == ([], 0)

    play(script, Options(gather_ms=0))


def test_what_the_log_has_and_has_forgotten_is_told() -> None:
    """It was appended, and trimmed before its reply could be asked for again."""

    async def script(desk: Desk, writer: Writer) -> None:
        before = writer.position
        writer.text("old")
        assert len(writer.take()) == 1
        assert writer.took([Refused(Refusal.FORGOTTEN)]) is None
        assert (writer.unsaved().text, writer.position) == ("old", before)
        assert desk.mended == []

    play(script)


def test_a_new_epoch_is_told_the_whole_text() -> None:
    """Also what was saved, for somebody may have come there before it was."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("saved 😀 ")
        await writer.settled()
        desk.save(writer)
        writer.text("told ")
        await writer.settled()
        await desk.lose()
        writer.frame(status())
        writer.text("new")
        await writer.settled()
        frames = await desk.frames()
        assert shown(frames) == ["saved 😀 told ", "Status", "new"]
        assert isinstance(frames[0], Chunk)
        assert frames[0].offset == 0
        assert await desk.told() == "saved 😀 told new"
        for _ in range(2):  # the first says where SQL's text ends
            desk.save(writer)
        assert desk.stored["m_2"] == "saved 😀 told new"

    play(script)


def test_a_cut_leaves_a_new_epoch_all_that_was_told_before() -> None:
    """Only what no device has seen may be dropped."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("told ")
        await writer.settled()
        desk.save(writer)
        await desk.lose()
        await asyncio.sleep(1)
        writer.text("new")
        await turns(1)
        await writer.cut()
        assert shown(await desk.frames()) == ["told "]

    play(script)


def test_a_checkpoint_between_the_reading_of_sql_and_the_new_epoch_costs_no_text() -> None:
    """What was read is too short by then."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("0123456789")
        await writer.settled()
        position = writer.position
        writer.saved(10)
        writer.text("abc")
        await writer.settled()
        writer.renew(position, 2, "01234")
        assert writer.unsaved().start == 10
        assert writer.length == 13
        await writer.settled()

    play(script)


def test_a_repeated_reset_is_told_where_it_belongs() -> None:
    """The log is lost while a reset is under way: it is not forgotten, and nothing old comes."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("wrong")
        await writer.settled()
        await desk.lose()
        await writer.reset(2, ResetReason.FALLBACK)
        writer.text("right")
        await writer.settled()
        frames = await desk.frames()
        assert shown(frames) == ["Reset", "right"]
        assert isinstance(frames[0], Reset)
        assert isinstance(frames[1], Chunk)
        assert (frames[0].attempt, frames[1].offset) == (2, 0)

    play(script)


# ── without a log ────────────────────────────────────────────────────────────────────────────────


def test_what_sql_was_given_is_told_though_the_answer_is_cut() -> None:
    """And nothing behind it; before the log was asked nobody knows that it is away."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("told ")
        await writer.settled()
        desk.log.gone = True
        writer.text("asked ")
        assert writer.unsaved().text == "told "
        await asyncio.sleep(0.1)
        writer.text("gave 😀 ")
        position = writer.position
        desk.save(writer)
        assert (desk.stored["m_2"], writer.position) == ("told asked gave 😀 ", position)
        assert writer.unsaved() == Tail(19, "", position.epoch, position.seq)
        writer.text("dropped")
        cut = asyncio.create_task(writer.cut())
        await asyncio.sleep(1)
        desk.save(writer)
        desk.log.gone = False
        await cut
        assert await desk.told(beside=False) == desk.stored["m_2"] == "told asked gave 😀 "

    play(script)


def test_nobody_waits_for_room_while_the_log_is_away() -> None:
    """And again when it is back, until what gathered was told."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.gone = True
        writer.text("a" * 2000)
        writer.text("b" * 2000)
        waiting = asyncio.create_task(writer.room())
        await asyncio.sleep(1)
        full = [writer.full]
        writer.text("c" * 100_000)
        full.append(writer.full)
        assert waiting.done()
        desk.log.gone = False
        desk.log.gate.clear()
        await asyncio.sleep(1)
        desk.log.gate.set()
        await writer.settled()
        writer.text("d" * 2000)
        assert [*full, writer.full] == [False, False, True]
        await writer.room()
        assert len(await desk.told()) == 106_000

    play(script, Options(gathered_bytes=1024))


def test_who_is_held_appends_nothing() -> None:
    """What is under way cannot be taken back; the rest waits, and goes on from there."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.gate.clear()
        writer.text("a")
        await turns()
        writer.text("b")
        writer.hold()
        desk.log.gate.set()
        await asyncio.sleep(10)
        assert await desk.told() == "a"
        writer.go_on()
        await writer.settled()
        assert await desk.told() == "ab"

    play(script)


def test_a_taker_tells_what_the_log_lacks() -> None:
    """From within what SQL has; then it goes on behind it."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.stored["m_2"] = "ab😀c"
        writer.go_on_from("ab😀c", 2)
        writer.text("d")
        await writer.cut()
        chunk, *_ = await desk.frames()
        assert isinstance(chunk, Chunk)
        assert (chunk.offset, chunk.text) == (2, "😀c")
        assert writer.unsaved().start == 5

    play(script)


# ── cutting ──────────────────────────────────────────────────────────────────────────────────────


def test_a_cut_waits_for_what_is_under_way_and_drops_the_rest() -> None:
    """Also what comes in the meantime."""

    async def script(desk: Desk, writer: Writer) -> None:
        desk.log.gate.clear()
        writer.text("under way")
        await turns()
        writer.text(" waits")
        cut = asyncio.create_task(writer.cut())
        await turns()
        writer.text(" late")
        assert not cut.done()
        desk.log.gate.set()
        await cut
        await asyncio.sleep(1)
        assert await desk.told() == writer.unsaved().text == "under way"
        await writer.settled()

    play(script)


def test_a_cut_before_anything_left_leaves_nothing() -> None:
    """And a later text leaves as ever."""

    async def script(desk: Desk, writer: Writer) -> None:
        writer.text("a")
        await turns()
        writer.text("b")
        await writer.cut()
        await asyncio.sleep(1)
        writer.text("c")
        await turns()
        assert await desk.told() == "ac"

    play(script)


FAULTS = ("away", "no reply", "lose", "go", "back")
ACTS = ("text", "frame", "turn", "wait", "save", "settle", "cut", *FAULTS)
STEPS = st.lists(st.sampled_from(["text", "text", "save", *ACTS]), max_size=40)


@settings(deadline=None)
@given(steps=STEPS, gather_ms=st.sampled_from([0.0, 10.0]))
def test_whatever_happens_the_log_has_the_texts_in_order(
    steps: list[str], gather_ms: float
) -> None:
    """With faults, losses and checkpoints anywhere.

    Between two cuts the log has a beginning of what was written, all of it if no cut follows. And
    SQL with the unsaved rest is exactly that, also where SQL was given text before the log.
    """

    async def script(desk: Desk, writer: Writer) -> None:
        author = Author(desk, writer)
        for step in steps:
            await author.act(step)
        desk.log.gone = False
        await author.act("frame")  # a loss is noticed by the next append
        await writer.settled()
        assert not writer.lost
        tail = writer.unsaved()
        whole = await desk.told()
        desk.save(writer)
        assert desk.stored["m_2"] == whole == await desk.told(beside=False)
        assert utf16_length(whole) == tail.start + utf16_length(tail.text) == writer.length
        _check(whole, author.sections)
        seen = [frame.attempt for frame in await desk.frames() if isinstance(frame, Status)]
        assert seen == sorted(set(seen))

    play(script, Options(gather_ms=gather_ms))


def _check(whole: str, sections: list[list[str]]) -> None:
    for number, section in enumerate(sections):
        kept = 0
        for text in section:
            if not whole.startswith(text):
                break
            whole = whole[len(text) :]
            kept += 1
        assert number < len(sections) - 1 or kept == len(section)
    assert whole == ""
