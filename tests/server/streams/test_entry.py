"""An entry as sockets send it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from protocol.codec import JSON, MSGPACK, Codec, Unknown
from protocol.folding import FOLDED_TEXT_BYTES, fold
from protocol.frames.from_server import Chunk, Pong, Status
from protocol.text import utf16_length
from protocol.types import AnswerState
from server.net.framing import framed
from server.streams.entry import Shared, decode, encode, folded
from storage.log import ROWS, Entry

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
CHUNK = Chunk(answer="m_1", offset=3, text="déjà 😀")
STATUS = Status(conversation="c", answer="m", attempt=1, state=AnswerState.THINKING)


def shared(seq: int = 7) -> Shared:
    """A chunk in its place."""
    return Shared(Entry(seq, "m_1", 1, encode(CHUNK)))


def test_what_was_kept_is_the_frame_in_its_place() -> None:
    """A log's bodies know no `seq`; who reads one puts it in."""
    assert b"seq" not in encode(CHUNK)
    assert decode(encode(CHUNK), 9) == structs.replace(CHUNK, seq=9)
    assert shared().frame() == structs.replace(CHUNK, seq=7)


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_its_bytes_are_a_whole_websocket_frame_made_once(codec: Codec) -> None:
    """The very same bytes for every socket of one encoding."""
    entry = shared()
    ready = entry.framed(codec)
    payload = ready[2:] if codec.binary else ready[2:].decode()
    assert codec.decode_server(payload) == structs.replace(CHUNK, seq=7)
    assert ready == framed(ready[2:], binary=codec.binary)
    assert entry.framed(codec) is ready


def test_json_is_sent_without_being_read() -> None:
    """Logs keep what most sockets speak."""
    entry = shared()
    entry.framed(JSON)
    assert entry._frame is None


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    "said",
    [
        {"type": "mood", "conversation": "c", "answer": "m", "mood": {"now": ["glad", 1.5, None]}},
        {"type": "status", "conversation": "c", "answer": "m", "attempt": 1, "state": "dreaming"},
        {**msgspec.to_builtins(STATUS), "mood": "glad"},
    ],
    ids=["frame", "value", "field"],
)
def test_what_a_newer_version_told_is_passed_on_whole(said: dict[str, Any], codec: Codec) -> None:
    """Clients may know it, and those that do not still count its place."""
    ready = Shared(Entry(7, "m", 1, msgspec.json.encode(said))).framed(codec)
    payload = ready[-int(ready[1]) :]
    read = msgspec.msgpack.decode if codec.binary else msgspec.json.decode
    assert ready == framed(payload, binary=codec.binary)
    assert read(payload) == {"seq": 7, **said}


def test_a_frame_of_a_newer_version_is_known_by_its_place_alone() -> None:
    """Nothing fails at it."""
    frame = decode(b'{"type":"mood","conversation":"c","answer":"m","mood":"glad"}', 9)
    assert frame == Unknown("mood", "c", 9)


def test_only_text_is_folded() -> None:
    """Whatever else was kept stays as it was."""
    assert shared().foldable() == structs.replace(CHUNK, seq=7)
    others = [Shared(Entry(7, "m", 2, body)) for body in (encode(STATUS), b'{"type":"mood"}')]
    assert [each.foldable() for each in others] == others


def test_what_joining_a_text_takes_is_found_out_once() -> None:
    """For all who wait for it; whatever else is kept joins nothing."""
    entry = shared()
    piece = entry.piece()
    assert piece is not None
    assert (piece.frame, piece.end, piece.size) == (entry.frame(), 3 + 7, len(CHUNK.text.encode()))
    assert entry.piece() is piece
    assert Shared(Entry(7, "m", 2, encode(STATUS))).piece() is None


def test_a_log_keeps_nothing_but_its_own_frames() -> None:
    """Anything else is damage, and no client is sent it."""
    for damage in (JSON.encode(Pong()), b'{"mood":"glad"}', b"glad"):
        with pytest.raises(TypeError):
            decode(damage, 1)


def test_its_name_shows_no_text() -> None:
    """It may reach a log."""
    assert repr(shared()) == "<Shared 7>"


def test_only_where_an_answer_goes_on_it_begins_with_text() -> None:
    """A row never repeats any, nor does what comes later."""
    first = [Shared(Entry(1, "m", 1, encode(frame))) for frame in (CHUNK, STATUS)]
    assert [entry.repeats for entry in first] == [True, False]
    later = [Shared(Entry(1, source, at, encode(CHUNK))) for source, at in (("m", 2), (ROWS, 1))]
    assert [entry.repeats for entry in later] == [False, False]


@st.composite
def stretches(draw: st.DrawFn) -> list[Entry]:
    """A stretch of a log: two answers in any order, what else they say, a hole now and then."""
    ends, ordinals = {"a": 0, "b": 0}, {"a": 0, "b": 0}
    stretch: list[Entry] = []
    seq = draw(st.integers(0, 5))
    for _ in range(draw(st.integers(0, 30))):
        seq += draw(st.sampled_from([1, 1, 1, 1, 1, 1, 2]))
        answer = draw(st.sampled_from("aaab"))
        ordinals[answer] += 1
        frame: Chunk | Status = STATUS
        if draw(st.integers(0, 5)):
            text = draw(st.text(LETTERS, max_size=6))
            ends[answer] += draw(st.sampled_from([0, 0, 0, 0, 0, 3]))
            frame = Chunk(answer=answer, offset=ends[answer], text=text)
            ends[answer] += utf16_length(text)
        stretch.append(Entry(seq, answer, ordinals[answer], encode(frame)))
    return stretch


def as_sent(entries: list[Entry]) -> list[object]:
    """What a device that comes back gets of them."""
    items = fold([Shared(entry).foldable() for entry in entries])
    return [item.frame() if isinstance(item, Shared) else item for item in items]


@given(stretches())
def test_chunks_read_together_are_what_they_are_one_by_one(stretch: list[Entry]) -> None:
    """The same frames in the same places, and where an answer begins is told as before."""
    together = folded(stretch)
    assert as_sent(together) == as_sent(stretch)
    begins = [entry.seq for entry in stretch if Shared(entry).repeats]
    assert len([entry for entry in together if Shared(entry).repeats]) == len(begins)
    for codec in (JSON, MSGPACK):
        for entry in map(Shared, together):
            payload = entry._payload(codec)
            read = codec.decode_server(payload if codec.binary else payload.decode())
            assert read == entry.frame()


def test_an_answer_of_single_tokens_is_one_entry() -> None:
    """Whatever their number."""
    stretch = [
        Entry(n + 1, "m", n + 1, encode(Chunk(answer="m", offset=2 * n, text="w ")))
        for n in range(2000)
    ]
    [one] = folded(stretch)
    assert Shared(one).frame() == Chunk(answer="m", offset=0, text="w " * 2000, seq=2000, since=1)


def test_what_no_frame_could_hold_stays_in_parts() -> None:
    """They are folded as far as they fit, as ever."""
    half = "x" * (FOLDED_TEXT_BYTES // 2)
    stretch = [
        Entry(n + 1, "m", n + 1, encode(Chunk(answer="m", offset=n * len(half), text=half)))
        for n in range(3)
    ]
    assert folded(stretch) == stretch
    assert len(as_sent(stretch)) == 2


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"chunk","answer":"m","offset":"2","text":"w "}',
        b'{"type":"chunk","answer":"m"}',
        b'{"type":"chunk",',
        b'{"type":"chunk","answer":"m","offset":2,"text":"w "},{}',
    ],
)
def test_what_cannot_be_read_is_left_to_who_reads_it(odd: bytes) -> None:
    """It is met by itself, as everywhere else."""
    chunk = encode(Chunk(answer="m", offset=0, text="w "))
    stretch = [Entry(1, "m", 1, chunk), Entry(2, "m", 2, odd)]
    assert folded(stretch) == stretch
