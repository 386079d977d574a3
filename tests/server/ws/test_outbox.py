"""Frames on their way to one socket: nothing lost, bounded, folded while it does not read."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import JSON, MSGPACK, Codec
from protocol.frames.from_server import Chunk, Ok, Pong, Status
from protocol.text import utf16_length
from protocol.types import AnswerState
from server.streams.entry import Shared, encode
from server.ws.options import Options
from server.ws.outbox import Outbox
from storage.log import Entry
from tests.support.wire import FakeWire


class Box:
    """An outbox with its wire, and a log that counts."""

    def __init__(self, codec: Codec = JSON, options: Options | None = None) -> None:
        self.wire = FakeWire()
        self.overflows = 0
        self.outbox = Outbox(self.wire, codec, options or Options(), self._overflow)
        self.wire.on_writable = self.outbox.flush
        self.seq = 0
        self.offset = 0

    def _overflow(self) -> None:
        self.overflows += 1

    def chunk(self, text: str) -> None:
        """The answer goes on."""
        frame = Chunk(answer="a", offset=self.offset, text=text)
        self.offset += utf16_length(text)
        self.entry(encode(frame))

    def status(self) -> None:
        """Something that no chunk can be folded over."""
        self.entry(
            encode(Status(conversation="c", answer="a", attempt=1, state=AnswerState.GENERATING))
        )

    def entry(self, body: bytes) -> None:
        """The next entry of the log."""
        self.seq += 1
        self.outbox.share([Shared(Entry(self.seq, "a", self.seq, body))])


async def test_whoever_fetches_waits_for_its_reader() -> None:
    """Until that has read most of what waits, or is gone."""
    box = Box(options=Options(outbox_bytes=64 * 1024))
    await box.outbox.relieved()
    for _ in range(2):
        box.wire.writable = False
        while box.outbox.has_room:
            box.outbox.send(Ok(ref="x" * 64))
        waiting = [asyncio.create_task(box.outbox.relieved()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        box.wire.writable = True
        box.outbox.flush()
        await asyncio.gather(*waiting)
    box.wire.writable = False
    while box.outbox.has_room:
        box.outbox.send(Ok(ref="x" * 64))
    last = asyncio.create_task(box.outbox.relieved())
    await asyncio.sleep(0)
    box.outbox.clear()
    await last


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_a_socket_that_reads_is_written_to_at_once(codec: Codec) -> None:
    """Each frame by itself, in the encoding it chose."""
    box = Box(codec)
    box.chunk("Hel")
    box.outbox.send(Pong(id="p"))
    box.chunk("lo")
    assert [type(frame).__name__ for frame in box.wire.frames] == ["Chunk", "Pong", "Chunk"]


def test_what_waits_is_folded_and_in_order() -> None:
    """Text concatenates; everything else keeps its place."""
    box = Box()
    box.wire.jam()
    for text in "abc":
        box.chunk(text)
    box.outbox.send(Ok(ref="x"))
    box.chunk("d")
    box.status()
    box.chunk("e")
    assert box.wire.written == []
    box.wire.drain()
    frames = box.wire.frames
    assert [type(frame).__name__ for frame in frames] == ["Chunk", "Ok", "Chunk", "Status", "Chunk"]
    first = frames[0]
    assert isinstance(first, Chunk)
    assert (first.text, first.since, first.seq) == ("abc", 1, 3)


def test_what_nobody_here_can_read_waits_in_its_place_too() -> None:
    """A newer version has told it, and it goes out as it was kept."""
    box = Box()
    box.wire.jam()
    box.chunk("a")
    box.entry(b'{"type":"mood","conversation":"c","mood":"glad"}')
    box.chunk("b")
    box.wire.drain()
    assert [getattr(frame, "seq", 0) for frame in box.wire.frames] == [1, 2, 3]
    assert b'"mood":"glad"' in box.wire.written[1]


def test_a_reader_too_slow_is_given_up() -> None:
    """Past the bound of live frames, once folded."""
    box = Box(options=Options(outbox_bytes=64 * 1024, fold_bytes=8 * 1024))
    box.wire.jam()
    while not box.overflows:
        box.chunk("x" * 1000)
        assert box.offset < 200_000
    assert box.offset > 60_000


def test_folding_lets_much_more_wait_than_bare_chunks() -> None:
    """A thousand tokens are little text in big envelopes."""
    box = Box(options=Options(outbox_bytes=64 * 1024, fold_bytes=8 * 1024))
    box.wire.jam()
    for _ in range(5000):
        box.chunk("token ")
    assert box.overflows == 0
    box.wire.drain()
    assert sum(len(f.text) for f in box.wire.frames if isinstance(f, Chunk)) == 30_000


def test_what_was_missed_does_not_count_as_live() -> None:
    """A snapshot or a replay is as big as it is."""
    box = Box(options=Options(outbox_bytes=64 * 1024, fold_bytes=8 * 1024))
    box.wire.jam()
    box.outbox.missed([Chunk(answer="a", offset=0, text="y" * 200_000, seq=1)])
    box.chunk("x")
    assert box.overflows == 0


def test_what_does_not_count_as_live_is_bounded_too() -> None:
    """Answers to a client that asks and never reads."""
    box = Box(options=Options(waiting_bytes=1 << 20))
    box.wire.jam()
    for _ in range(5):
        box.outbox.missed([Chunk(answer="a", offset=0, text="y" * 200_000, seq=1)])
    assert box.overflows == 0
    for _ in range(10_000):
        box.outbox.send(Pong(id="p"))
        if box.overflows:
            break
    assert box.overflows == 1
    box.wire.drain()
    box.wire.jam()
    box.outbox.missed([Chunk(answer="a", offset=0, text="y" * 200_000, seq=1)])
    assert box.overflows == 1
    assert repr(box.outbox) == "<Outbox waiting=1 live_bytes=0>"
    box.outbox.clear()
    box.wire.drain()
    assert len(box.wire.frames) < 10_000


@given(st.lists(st.sampled_from(["chunk", "status", "ok", "jam", "drain", "clear"]), max_size=60))
def test_whatever_happens_text_arrives_whole_and_in_order(steps: list[str]) -> None:
    """Jams and drains at any moment change where chunks end and nothing else."""
    box = Box(options=Options(outbox_bytes=1 << 20, fold_bytes=1024))
    for number, step in enumerate(steps):
        match step:
            case "chunk":
                box.chunk(f"{number}😀 ")
            case "status":
                box.status()
            case "ok":
                box.outbox.send(Ok(ref="x"))
            case "jam":
                box.wire.jam()
            case "drain":
                box.wire.drain()
    box.wire.drain()
    offset = seq = 0
    for frame in box.wire.frames:
        if isinstance(frame, Chunk):
            assert frame.offset == offset
            offset += utf16_length(frame.text)
        if isinstance(frame, Chunk | Status):
            assert (getattr(frame, "since", 0) or frame.seq) == seq + 1
            seq = frame.seq
    assert (offset, seq) == (box.offset, box.seq)
