"""What the client decides without a server, by the golden vectors too."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.alone.client import (
    Conversation,
    Frame,
    Verdict,
    advice,
    backoff_s,
    close_of_status,
    crc32,
    units,
)

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors"


def vectors(name: str) -> Any:
    """A file of golden vectors."""
    return json.loads((VECTORS / name).read_text())


def test_the_advice_of_every_close() -> None:
    """Section 9 and `closes.json`: named codes and ranges alike."""
    for row in vectors("closes.json"):
        assert advice(row["code"]).value == row["advice"], row


@pytest.mark.parametrize(
    ("attempt", "bound"), [(0, 0.5), (1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (5000, 60.0)]
)
def test_the_delay_before_an_attempt(attempt: int, bound: float) -> None:
    """Section 2: uniform below a bound that doubles up to a minute."""
    assert (backoff_s(attempt, 0.0), backoff_s(attempt, 1.0)) == (0.0, bound)
    assert backoff_s(attempt, 0.5) == bound / 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (302, 1006),
        (400, 4500),
        (401, 4501),
        (403, 4507),
        (408, 1006),
        (426, 4506),
        (429, 1013),
        (431, 4500),
        (500, 1006),
        (503, 1013),
    ],
)
def test_the_status_of_a_refused_upgrade(status: int, code: int) -> None:
    """Section 9: an HTTP status counts as a close code."""
    assert close_of_status(status) == code


def test_lengths_and_checksums() -> None:
    """Section 3 and `text.json`: UTF-16 units, and the checksum of the UTF-8 bytes."""
    rows = [row for row in vectors("text.json") if row["well_formed"]]
    assert rows
    for row in rows:
        text = row["text"].encode("utf-16", "surrogatepass").decode("utf-16")
        assert (units(text), crc32(text)) == (row["length"], row["crc32"])


def _chunk(seq: int, offset: int, text: str, **more: Any) -> Frame:
    return {"type": "chunk", "seq": seq, "answer": "a", "offset": offset, "text": text, **more}


def _level() -> Conversation:
    mine = Conversation("c", "e1", 0)
    message = {"id": "a", "role": "assistant", "parent": "q", "siblings": ["a"], "content": ""}
    mine.take({"type": "message", "seq": 1, "conversation": "c", "message": message})
    mine.take(_chunk(2, 0, "Hel"))
    return mine


@pytest.mark.parametrize(
    ("frame", "verdict"),
    [
        (_chunk(3, 3, "lo"), Verdict.TAKEN),
        (_chunk(5, 3, "lo", **{"from": 3}), Verdict.TAKEN),
        (_chunk(3, 3, "lo", **{"from": None}), Verdict.TAKEN),
        (_chunk(2, 0, "Hel"), Verdict.REPEATED),
        (_chunk(4, 3, "lo"), Verdict.MISSING),
        (_chunk(3, 0, "Hello", **{"from": 2}), Verdict.MISSING),
        (_chunk(3, 2, "lo"), Verdict.BROKEN),
        ({"type": "complete", "seq": 3, "answer": "a", "length": 4, "crc32": 0}, Verdict.BROKEN),
        ({"type": "novelty", "seq": 3, "conversation": "c"}, Verdict.TAKEN),
    ],
)
def test_positions(frame: Frame, verdict: Verdict) -> None:
    """Section 4: the next frame is taken, a repetition ignored, a gap and a fault found."""
    mine = _level()
    assert mine.take(frame) is verdict
    assert (mine.seq > 2) is (verdict is Verdict.TAKEN)


def test_a_snapshot_in_pieces_has_no_position_before_it_is_whole() -> None:
    """Section 4: a client that is cut in between attaches without a position."""
    mine = Conversation("c")
    assert mine.position == {}
    told = {"answer": "a", "parent": "q", "state": "generating", "attempt": 1}
    told |= {"text": "Hel", "length": 5}
    snapshot = {"type": "attached", "epoch": "e2", "seq": 7, "recovered": False, "leaf": "a"}
    mine.attached(snapshot | {"messages": [], "more": False, "answers": [told]})
    assert mine.position == {}
    chunk = {"type": "chunk", "answer": "a", "offset": 3, "text": "lo"}
    assert mine.complete_snapshot(chunk) is Verdict.TAKEN
    assert mine.position == {"epoch": "e2", "seq": 7}


def test_frames_of_an_ended_answer_are_ignored() -> None:
    """Section 4: they count for the position and change nothing."""
    mine = Conversation("c")
    ended = {"id": "a", "role": "assistant", "content": "Hello.", "outcome": "complete"}
    snapshot = {"type": "attached", "epoch": "e1", "seq": 4, "recovered": False, "leaf": "a"}
    mine.attached(snapshot | {"messages": [ended], "more": False, "answers": []})
    row = {"id": "a", "role": "assistant", "content": "", "parent": "q", "siblings": ["a"]}
    late = [{"type": "message", "seq": 5, "message": row}, _chunk(6, 0, "Hel")]
    late += [{"type": "complete", "seq": 7, "answer": "a", "length": 9, "crc32": 9}]
    assert {mine.take(frame) for frame in late} == {Verdict.TAKEN}
    assert (mine.seq, mine.text("a"), mine.outcome("a")) == (7, "Hello.", "complete")
