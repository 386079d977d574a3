"""Frames on their way to one socket: nothing lost, bounded, folded while it does not read."""

import asyncio
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.codec import JSON, MSGPACK, Codec
from protocol.frames.from_server import Chunk, Ok, Pong, ServerFrame, Status
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
    box.outbox.end()
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


def test_what_many_wait_for_is_kept_once() -> None:
    """The very same bytes for all, where nothing folds."""
    boxes = [Box(), Box()]
    entries = [
        Shared(Entry(seq, "a", seq, encode(Chunk(answer=answer, offset=0, text="x"))))
        for seq, answer in enumerate("ab", 1)
    ]
    for box in boxes:
        box.wire.jam()
        box.outbox.share(entries)
        box.wire.drain()
    first, second = (box.wire.written for box in boxes)
    assert [left is right for left, right in zip(first, second, strict=True)] == [True, True]


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_what_waits_is_made_into_bytes_when_it_is_read(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only then: hundreds may stop in the same moment, and be closed in another."""
    made: list[bytes] = []

    def encoded(frame: ServerFrame) -> bytes:
        made.append(codec._encode(frame))
        return made[-1]

    entries = [
        Shared(Entry(n + 1, "a", n + 1, encode(Chunk(answer="a", offset=2 * n, text="x "))))
        for n in range(1000)
    ]
    box = Box(codec)
    box.wire.jam()
    entries[0].framed(codec)
    monkeypatch.setattr(codec, "encode", encoded)
    box.outbox.share(entries)
    assert made == []
    box.wire.drain()
    assert len(made) == len(box.wire.frames) == 1


def test_what_still_waits_grows_while_what_came_before_is_read() -> None:
    """A frame that was taken is as it was; only the last that waits takes in more."""
    box = Box()
    box.wire.jam()
    box.chunk("a")
    box.chunk("b")
    box.status()
    box.chunk("c")
    for text in "de":
        box.wire.sip()
        box.chunk(text)
    box.wire.sip()
    box.chunk("f")
    assert [getattr(frame, "text", "") for frame in box.wire.frames] == ["ab", "", "cde"]
    single = Shared(Entry(7, "a", 7, encode(Chunk(answer="a", offset=5, text="f")))).framed(JSON)
    assert repr(box.outbox) == f"<Outbox waiting=1 live_bytes={len(single)}>"


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
    box = Box(options=Options(outbox_bytes=64 * 1024))
    box.wire.jam()
    while not box.overflows:
        box.chunk("x" * 1000)
        assert box.offset < 200_000
    assert box.offset > 60_000


def test_folding_lets_much_more_wait_than_bare_chunks() -> None:
    """A thousand tokens are little text in big envelopes."""
    box = Box(options=Options(outbox_bytes=64 * 1024))
    box.wire.jam()
    for _ in range(5000):
        box.chunk("token ")
    assert box.overflows == 0
    box.wire.drain()
    assert sum(len(f.text) for f in box.wire.frames if isinstance(f, Chunk)) == 30_000


def test_what_was_missed_does_not_count_as_live() -> None:
    """A snapshot or a replay is as big as it is."""
    box = Box(options=Options(outbox_bytes=64 * 1024))
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


@pytest.mark.parametrize("live", [True, False])
def test_who_was_given_up_is_kept_nothing_more(live: bool) -> None:
    """It is closed a little later, and what it misses until then it finds when it comes back."""
    box = Box(options=Options(outbox_bytes=64 * 1024, waiting_bytes=1 << 20))
    box.wire.jam()
    while not box.overflows:
        if live:
            box.chunk("x" * 10_000)
        else:
            box.outbox.send(Ok(ref="x" * 10_000))
    for _ in range(200):
        box.chunk("x" * 10_000)
        box.outbox.send(Ok(ref="x" * 10_000))
    assert (repr(box.outbox), box.overflows) == ("<Outbox waiting=0 live_bytes=0>", 1)
    box.wire.drain()
    box.chunk("x")
    assert box.wire.written == []


@given(st.lists(st.sampled_from(["chunk", "status", "ok", "jam", "drain", "sip"]), max_size=60))
@example(["sip", "jam", "chunk", "status"])
def test_whatever_happens_text_arrives_whole_and_in_order(steps: list[str]) -> None:
    """Jams and drains at any moment change where chunks end and nothing else."""
    box = Box(options=Options(outbox_bytes=1 << 20))
    numbers = count()
    does = {
        "chunk": lambda: box.chunk(f"{next(numbers)}😀 "),
        "status": box.status,
        "ok": lambda: box.outbox.send(Ok(ref="x")),
        "jam": box.wire.jam,
        "sip": box.wire.sip,
        "drain": box.wire.drain,
    }
    for step in steps:
        does[step]()
    box.wire.drain()
    assert repr(box.outbox) == "<Outbox waiting=0 live_bytes=0>"
    offset = seq = 0
    for frame in box.wire.frames:
        if isinstance(frame, Chunk):
            assert frame.offset == offset
            offset += utf16_length(frame.text)
        if isinstance(frame, Chunk | Status):
            assert (getattr(frame, "since", 0) or frame.seq) == seq + 1
            seq = frame.seq
    assert (offset, seq) == (box.offset, box.seq)
