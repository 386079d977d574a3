"""Folded frames say what the single ones said, in fewer of them."""

import json
import tracemalloc
from itertools import accumulate, pairwise
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import CODECS, JSON
from protocol.folding import FOLDED_TEXT_BYTES, Fold, Piece, first_seq, fold
from protocol.frames import from_server as s
from protocol.limits import SERVER_FRAME_BYTES
from protocol.text import utf16_length
from protocol.types import AnswerState
from tests.support.vectors import rows

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECES = st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=40)
MOST = st.integers(1, 200)

quickly = settings(max_examples=150, deadline=None, derandomize=True)


def chunks(pieces: list[str], *, seq: int = 1, answer: str = "a") -> list[s.Chunk]:
    """A text in pieces, as consecutive chunks."""
    offsets = accumulate(map(utf16_length, pieces[:-1]), initial=0)
    return [
        s.Chunk(seq=seq + n, answer=answer, offset=offset, text=piece)
        for n, (offset, piece) in enumerate(zip(offsets, pieces, strict=True))
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[s.ServerFrame]:
    """Frames of one log: answers and thoughts in any order, and others between them."""
    ends: dict[tuple[str, str], int] = {}
    log: list[s.ServerFrame] = []
    kinds = st.sampled_from(["chunk", "chunk", "chunk", "thought", "status"])
    for seq in range(1, draw(st.integers(2, 40))):
        answer, kind = draw(st.sampled_from("ab")), draw(kinds)
        if kind == "status":
            state = AnswerState.GENERATING
            log.append(s.Status(seq=seq, conversation="c", answer=answer, attempt=1, state=state))
            continue
        text = draw(st.text(LETTERS, min_size=1, max_size=8))
        offset = ends.get((answer, kind), 0)
        ends[answer, kind] = offset + utf16_length(text)
        if kind == "chunk":
            log.append(s.Chunk(seq=seq, answer=answer, offset=offset, text=text))
        else:
            log.append(
                s.Thought(seq=seq, conversation="c", answer=answer, offset=offset, text=text)
            )
    return log


def spans(frames: list[s.ServerFrame]) -> list[tuple[int, int]]:
    """The positions that each frame stands for."""
    return [
        (first_seq(f) if isinstance(f, s.Text) else f.seq, f.seq)
        for f in frames
        if isinstance(f, s.Logged)
    ]


def texts(frames: list[s.ServerFrame]) -> dict[tuple[type, str], str]:
    """Each answer's text and reasoning, put together by their offsets."""
    said: dict[tuple[type, str], str] = {}
    for frame in frames:
        if isinstance(frame, s.Text):
            before = said.get((type(frame), frame.answer), "")
            assert frame.offset == utf16_length(before)
            said[type(frame), frame.answer] = before + frame.text
    return said


@quickly
@given(PIECES)
def test_any_partition_of_a_text_folds_into_one_chunk_of_the_whole(pieces: list[str]) -> None:
    """However the model cut it: same text, offset, positions and checksum."""
    (whole,) = fold(chunks(pieces, seq=7))
    text = "".join(pieces)
    since = 7 if len(pieces) > 1 else 0
    assert whole == s.Chunk(seq=6 + len(pieces), since=since, answer="a", offset=0, text=text)
    assert crc32(whole.text.encode()) == crc32(text.encode())


def folded(pieces: list[Piece]) -> Fold:
    """All of them in one."""
    grown = Fold(pieces[0])
    assert all(map(grown.take, pieces[1:]))
    return grown


def test_a_fold_of_short_texts_keeps_little_more_than_they_say() -> None:
    """A token alone takes ten times its length."""
    tokens = chunks(["token "])
    tracemalloc.start()
    try:
        grown = Fold(Piece(tokens[0]))
        before, _ = tracemalloc.get_traced_memory()
        for n in range(1, 10_000):
            text = f"{n:05} "  # a string of its own
            assert grown.take(Piece(s.Chunk(seq=1 + n, answer="a", offset=6 * n, text=text)))
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 2 * 60_000
    assert len(grown.frame().text) == 60_000


def test_folds_of_the_same_long_texts_keep_them_once() -> None:
    """Hundreds may fall behind the same answers, and have their own copy of none."""
    pieces = [Piece(chunk) for chunk in chunks([f"{n:03} " * 250 for n in range(200)])]
    tracemalloc.start()
    try:
        grown = [folded(pieces) for _ in range(10)]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000
    assert {len(each.frame().text) for each in grown} == {200_000}


def test_long_texts_and_short_ones_fold_alike() -> None:
    """However they are kept meanwhile, they are one text in order."""
    pieces = ["ab", "x" * 300, *"c" * 70, "y" * 300, "z" * 300, *"d" * 31, "w" * 300, "e"]
    (whole,) = fold(chunks(pieces))
    assert isinstance(whole, s.Chunk)
    assert whole.text == "".join(pieces)


@quickly
@given(logs(), MOST)
def test_folding_loses_no_text_and_no_position(log: list[s.ServerFrame], most: int) -> None:
    """Interleaved answers, thoughts and others: order, text and positions stay."""
    folded = list(fold(log, most))
    assert texts(folded) == texts(log)
    assert [f for f in folded if isinstance(f, s.Status)] == [
        f for f in log if isinstance(f, s.Status)
    ]
    covered = spans(folded)
    assert covered[0][0] == 1
    assert covered[-1][1] == len(log)
    assert all(right[0] == left[1] + 1 for left, right in pairwise(covered))


@quickly
@given(logs(), MOST)
def test_folding_again_changes_nothing(log: list[s.ServerFrame], most: int) -> None:
    """A folded log is folded, so it does not matter how often a path folds."""
    once = list(fold(log, most))
    assert list(fold(once, most)) == once


@quickly
@given(logs(), MOST)
def test_two_neighbours_stay_apart_only_where_they_must(
    log: list[s.ServerFrame], most: int
) -> None:
    """A boundary between two chunks of one answer is due to the bound, and the bound holds."""
    folded = list(fold(log, most))
    for frame in folded:
        if isinstance(frame, s.Text) and frame.since:
            assert len(msgspec.json.encode(frame.text)) - 2 <= most
    for left, right in pairwise(folded):
        if isinstance(left, s.Text) and type(left) is type(right) and left.answer == right.answer:
            assert len(msgspec.json.encode(left.text + right.text)) - 2 > most


def test_a_chunk_over_the_bound_passes_alone() -> None:
    """What came as one frame fits one frame; folding only decides what to add to it."""
    frames = chunks(["a" * 30, "b", "c"])
    assert [f.text for f in fold(frames, 10) if isinstance(f, s.Chunk)] == ["a" * 30, "bc"]


@pytest.mark.parametrize("text", ["x", "\x01", "\U0001f600", "é"])
def test_a_folded_frame_fits_the_wire_in_both_encodings(text: str) -> None:
    """The bound leaves room for the longest ids, also where JSON escapes each character."""
    name = "x" * 64
    size = 0
    frames: list[s.ServerFrame] = []
    for seq in range(2**52, 2**52 + 600):
        piece = s.Thought(seq=seq, conversation=name, answer=name, offset=size, text=text * 200)
        frames.append(piece)
        size += utf16_length(piece.text)
    folded = list(fold(frames))
    assert len(folded) < len(frames)
    for codec in CODECS.values():
        assert all(len(codec.encode(frame)) <= SERVER_FRAME_BYTES for frame in folded)


def test_chunks_that_complete_a_snapshot_fold_among_themselves_alone() -> None:
    """They have no position, so a chunk of the log never joins them."""
    first, second = (
        s.Chunk(answer="a", offset=0, text="a"),
        s.Chunk(answer="a", offset=1, text="b"),
    )
    live = s.Chunk(seq=1, answer="a", offset=2, text="c")
    assert list(fold([first, second, live])) == [
        s.Chunk(answer="a", offset=0, text="ab"),
        live,
    ]


def test_the_bound_of_text_is_below_that_of_a_frame() -> None:
    """The difference is the envelope's."""
    assert FOLDED_TEXT_BYTES < SERVER_FRAME_BYTES


@pytest.mark.parametrize("row", rows("folding"), ids=lambda row: row["story"])
def test_the_vectors_hold(row: dict[str, Any]) -> None:
    """The same cases that other implementations run."""
    frames = [JSON.decode_server(json.dumps(frame)) for frame in row["frames"]]
    known = [frame for frame in frames if isinstance(frame, s.ServerFrame)]
    assert len(known) == len(frames)
    folded = fold(known, row.get("most", FOLDED_TEXT_BYTES))
    assert [json.loads(JSON.encode(frame)) for frame in folded] == row["folded"]
