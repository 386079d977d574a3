"""The shared nouns: ids, positions, closed lists, time."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from protocol import types
from protocol.frames.from_client import Chat, ClientInfo, Hello
from protocol.frames.from_server import Chunk
from protocol.types import (
    FINISH_REASONS,
    MAX_SAFE_INTEGER,
    TIMESTAMP_PATTERN,
    FinishReason,
    Id,
    Outcome,
    Position,
    rfc3339,
)
from storage.work import NewJob

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:~-"


@given(st.text(ALPHABET, min_size=1, max_size=64))
def test_an_id_is_up_to_64_characters_of_its_alphabet(text: str) -> None:
    """What the alphabet can spell in 64 characters is an id."""
    assert msgspec.convert(text, Id) == text


@given(st.text(max_size=70).filter(lambda text: not text or set(text) - set(ALPHABET)))
def test_anything_else_is_no_id(text: str) -> None:
    """One character outside the alphabet is enough, also a line end at the end."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Id)


@pytest.mark.parametrize("text", ["x" * 65, "a\n", "a\0", "é", "٣"])
def test_near_misses_are_no_ids(text: str) -> None:
    """Python's `$` and `\\w` would let some of these pass."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Id)


def test_every_finish_reason_belongs_to_exactly_one_outcome() -> None:
    """The lists of the outcomes share nothing and leave nothing out."""
    assert set(FINISH_REASONS) == set(Outcome)
    listed = [reason for reasons in FINISH_REASONS.values() for reason in reasons]
    assert sorted(listed) == sorted(FinishReason)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "Role": "user assistant system",
        "OnBusy": "queue reject interrupt",
        "AnswerState": "queued retrieving thinking generating tool parked",
        "Outcome": "complete stopped interrupted failed",
        "FinishReason": (
            "stop length content_filter stopped superseded crash shutdown error timeout limit"
        ),
        "ToolState": ("requested awaiting_approval running done failed denied expired unknown"),
        "ConversationStatus": "active paused completed archived",
    }.items(),
)
def test_closed_lists_are_those_of_the_contract(name: str, values: str) -> None:
    """Another value, or one less, is a change of the wire."""
    assert [member.value for member in getattr(types, name)] == values.split()


def test_positions_of_one_epoch_are_ordered_by_seq() -> None:
    """A later frame has the greater position."""
    assert Position("e", 9) < Position("e", 10)
    assert Position("e", 1) == Position("e", 1)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_774_787_696_789, "2026-03-29T12:34:56.789Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_spelt_in_utc_with_milliseconds(milliseconds: int, text: str) -> None:
    """Always three digits, always Z, also before 1970."""
    assert rfc3339(milliseconds) == text


@given(st.integers(0, 253_402_300_799_999), st.integers(0, 253_402_300_799_999))
def test_later_moments_sort_later_as_texts(one: int, other: int) -> None:
    """Clients and SQLite compare timestamps as texts."""
    assert re.search(TIMESTAMP_PATTERN, rfc3339(one))
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


def test_numbers_stay_where_javascript_is_exact() -> None:
    """2^53 - 1 is the last whole number that a JavaScript number tells from its neighbours."""
    assert float(MAX_SAFE_INTEGER) == MAX_SAFE_INTEGER
    assert float(MAX_SAFE_INTEGER + 1) == float(MAX_SAFE_INTEGER + 2)


def test_a_repr_shows_ids_and_sizes_and_no_private_word() -> None:
    """What is in a repr ends in a log one day: texts, tokens and free JSON are there by size."""
    hello = Hello(token="secret-token", client=ClientInfo(name="demo", version="1"))
    chat = Chat(id="m-1", content="secret words", metadata={"secret": 1}, model="offline")
    chunk = Chunk(seq=4, answer="a", offset=0, text="secret words")
    shown = repr([hello, chat, chunk])
    assert "secret" not in shown
    assert "id='m-1', content=<12>, model='offline', metadata=<1>" in shown
    assert "Chunk(seq=4, answer='a', offset=0, text=<12>, since=0)" in shown
    row = NewJob(kind="title", payload=Raw(b'{"secret": 1}'))
    assert "payload=<13>" in repr(row)
    assert "secret" not in repr(row)
