"""Appends of all writers: one call of the log at a time, and nobody's trouble is another's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.limits import SERVER_FRAME_BYTES
from protocol.types import Position
from server.streams.options import Options
from server.streams.pump import BATCH_BYTES, MANY
from server.streams.writer import Writer
from storage.errors import Fenced
from storage.log import Appended, Refusal
from tests.server.streams.desk import Desk
from tests.support.faultylog import Fault
from tests.support.virtual import running, virtually

Play = Callable[[Desk, Writer, Writer, Writer], Awaitable[None]]


def play(script: Play, options: Options | None = None) -> None:
    """Three answers, in virtual time."""

    async def main() -> None:
        desk = Desk(options)
        one, two, three = await desk.begin("m_1", "m_2", "m_3")
        await script(desk, one, two, three)
        await desk.close()

    virtually(main())


def test_all_that_is_ready_goes_in_one_call() -> None:
    """However many answers speak."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        for writer in (one, two, three):
            writer.text(writer.answer.id)
        await asyncio.gather(one.settled(), two.settled(), three.settled())
        assert [[append.source for append in batch] for batch in desk.log.appends] == [
            ["m_1", "m_2", "m_3"]
        ]
        assert [writer.position.seq for writer in (one, two, three)] == [1, 2, 3]

    play(script)


def test_while_a_call_is_under_way_the_next_one_fills() -> None:
    """There are never two."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        desk.log.gate.clear()
        one.text("a")
        await asyncio.sleep(1)
        two.text("b")
        three.text("c")
        await asyncio.sleep(1)
        assert len(desk.log.appends) == 1
        desk.log.gate.set()
        await asyncio.gather(two.settled(), three.settled())
        assert [len(batch) for batch in desk.log.appends] == [1, 2]

    play(script)


def test_one_that_is_refused_stops_no_other() -> None:
    """Neither in its call nor after it."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        await desk.log.fence("c_1", one.position.epoch, "m_2", 9)
        for writer in (one, two, three):
            writer.text("first ")
        await asyncio.gather(one.settled(), three.settled())
        with pytest.raises(Fenced):
            await two.settled()
        one.text("second")
        await one.settled()
        assert desk.mended == [Refusal.FENCED]
        assert (await desk.told("m_1"), await desk.told("m_3")) == ("first second", "first ")

    play(script)


def test_one_that_cannot_say_what_it_has_fails_alone() -> None:
    """A text that no frame can carry is a fault of that answer, and its run hears what it was."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        one.text("fine")
        two.text("half a pair: \ud83d")
        three.text("fine")
        await asyncio.gather(one.settled(), three.settled())
        with pytest.raises(UnicodeEncodeError):
            await two.settled()
        one.text(" still")
        await one.settled()
        assert await desk.told("m_1") == "fine still"

    play(script)


def test_one_that_is_lost_while_its_append_is_under_way_stops_no_other() -> None:
    """A checkpoint said that it is another's; what became of the append is nobody's business."""

    async def script(desk: Desk, one: Writer, two: Writer, _three: Writer) -> None:
        desk.log.gate.clear()
        one.text("a")
        await asyncio.sleep(1)
        one.lose()
        desk.log.gate.set()
        await asyncio.sleep(1)
        two.text("b")
        await two.settled()
        assert await desk.told("m_2") == "b"
        assert desk.mended == []

    play(script)


@pytest.mark.parametrize("fault", ["a call that fails", "a reply that is too short"])
def test_a_fault_of_the_log_ends_those_whom_it_met_and_no_others(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """What was on its way is of no known place; appends go on."""

    async def script(desk: Desk, one: Writer, two: Writer, _three: Writer) -> None:
        async def broken(_batch: object) -> list[Appended]:
            if fault == "a call that fails":
                raise RuntimeError(fault)
            return []

        with monkeypatch.context() as patch:
            patch.setattr(desk.log, "append", broken)
            one.text("a")
            with pytest.raises((RuntimeError, ValueError)):
                await one.settled()
        two.text("b")
        await two.settled()
        assert await desk.told("m_2") == "b"

    play(script)


def test_one_that_cannot_be_mended_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for ever: its answer ends, with what it was."""

    async def script(desk: Desk, one: Writer, two: Writer, _three: Writer) -> None:
        tried: list[Writer] = []

        async def broken(writer: Writer, _refusal: Refusal) -> None:
            if len(tried) > 9:
                writer.lose()
            tried.append(writer)
            raise ValueError("what SQL has cannot be read")

        with monkeypatch.context() as patch:
            patch.setattr(desk.pump, "_mend", broken)
            await desk.lose()
            one.text("a")
            with pytest.raises(ValueError, match="cannot be read"):
                await one.settled()
        assert tried == [one]
        two.text("b")
        await two.settled()
        assert await desk.told("m_2") == "b"

    play(script)


def test_after_a_loss_all_are_mended_into_one_new_epoch() -> None:
    """Whoever comes first opens it."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        for writer in (one, two, three):
            writer.text("before ")
            await writer.settled()
        await desk.lose()
        for writer in (one, two, three):
            writer.text("after")
        await asyncio.gather(one.settled(), two.settled(), three.settled())
        assert desk.mended == [Refusal.EPOCH] * 3
        assert len({writer.position.epoch for writer in (one, two, three)}) == 1
        for id in ("m_1", "m_2", "m_3"):
            assert await desk.told(id) == "before after"

    play(script)


def test_a_log_that_went_back_is_given_up() -> None:
    """Below what a writer has seen no place may be given twice."""

    async def script(desk: Desk, one: Writer, _two: Writer, _three: Writer) -> None:
        one.text("told ")
        await one.settled()
        epoch = one.position.epoch
        one.position = Position(epoch, 50)  # as if the log had lost what lay between
        one.text("more")
        await one.settled()
        assert desk.mended == [Refusal.ROLLED_BACK]
        assert one.position.epoch != epoch
        assert await desk.told("m_1") == "told more"

    play(script)


def test_without_a_reply_it_is_asked_again_after_a_while() -> None:
    """Not in a loop that takes all the time there is."""

    async def script(desk: Desk, one: Writer, _two: Writer, _three: Writer) -> None:
        desk.log.faults.extend([Fault.AWAY] * 5)
        began = running().time()
        one.text("patience")
        await one.settled()
        assert len(desk.log.appends) == 6
        assert running().time() - began >= 0.4

    play(script)


def test_the_pauses_grow_while_the_log_is_away() -> None:
    """Each answer asks a few times a second, and all of them in one call."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        desk.log.gone = True
        for writer in (one, two, three):
            writer.text("first ")
        await asyncio.sleep(10)
        assert 20 <= len(desk.log.appends) <= 30
        one.text("second")
        desk.log.gone = False
        began = running().time()
        await asyncio.gather(one.settled(), two.settled(), three.settled())
        assert running().time() - began <= 0.5
        assert await desk.told("m_1") == "first second"

    play(script)


def test_what_gathered_without_a_log_comes_in_calls_of_a_bounded_size() -> None:
    """However many answers have however much."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        writers = [one, two, three, *await desk.more(20)]
        desk.log.gone = True
        for writer in writers:
            writer.text("x")
            await asyncio.sleep(0.01)
            writer.text("y" * 300_000)
        before = len(desk.log.appends)
        desk.log.gone = False
        await asyncio.gather(*(writer.settled() for writer in writers))
        sizes = [sum(len(each.body) for each in batch) for batch in desk.log.appends[before:]]
        assert max(sizes) < BATCH_BYTES + 2 * SERVER_FRAME_BYTES
        assert sum(sizes) > 23 * 300_000
        for writer in writers:
            assert len(await desk.told(writer.answer.id)) == 300_001

    play(script)


@pytest.mark.parametrize(("answers", "most"), [(MANY, 0.025), (4, 0.0106)])
def test_chunks_grow_while_the_process_is_busy(answers: int, most: float) -> None:
    """From half of a processor's time on, by how many answers take it; and are small again then."""

    async def script(desk: Desk, one: Writer, two: Writer, three: Writer) -> None:
        writers = [one, two, three, *await desk.more(answers - 3)]

        async def after(busy: float) -> float:
            for _ in range(3):
                desk.spent += busy * 0.2
                await asyncio.sleep(0.2)
                for writer in writers:
                    writer.text("x")
                await asyncio.gather(*(writer.settled() for writer in writers))
            return desk.pump.distance_s

        assert desk.pump.distance_s == 0.01
        assert await after(0.4) == 0.01
        assert 0.01 < await after(0.7) < most
        assert await after(1.5) == pytest.approx(most)
        assert await after(0.1) == 0.01

    play(script)


def test_where_nothing_gathers_nothing_is_spaced() -> None:
    """The setting that measures the bare cost of a frame."""

    async def script(desk: Desk, one: Writer, _two: Writer, _three: Writer) -> None:
        desk.spent += 100
        await asyncio.sleep(1)
        one.text("a")
        await one.settled()
        assert desk.pump.distance_s == 0

    play(script, Options(gather_ms=0))
