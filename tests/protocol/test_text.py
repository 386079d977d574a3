"""Text counted, cut, checked and mended as a browser would."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.text import crc32, mend, utf16_length, utf16_slice, well_formed
from tests.support.vectors import Row, rows

TRAVELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
# Half of it where JavaScript and Python count differently, and where surrogates and NUL meet.
ANYTHING = st.text(
    st.one_of(st.characters(), st.sampled_from("a\0\ud83d\ude00\ud800\udfff\U0001f600"))
)


def units(text: str) -> list[int]:
    """The text as JavaScript holds it: a list of 16-bit numbers."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]


def is_whole(part: list[int]) -> bool:
    """JavaScript's `isWellFormed`: each half of a pair beside its other half."""
    at = 0
    while at < len(part):
        if (
            0xD800 <= part[at] <= 0xDBFF
            and 0xDC00 <= next(iter(part[at + 1 : at + 2]), 0) <= 0xDFFF
        ):
            at += 2
        elif 0xD800 <= part[at] <= 0xDFFF:
            return False
        else:
            at += 1
    return True


@pytest.mark.parametrize("row", rows("text"), ids=lambda row: ascii(row["text"]))
def test_shared_vectors(row: Row) -> None:
    """The table that every implementation is tested with."""
    text = row["text"]
    assert well_formed(text) is row["well_formed"]
    if not row["well_formed"]:
        assert mend(text) == row["mended"]
        return
    assert mend(text) == text
    assert (utf16_length(text), crc32(text)) == (row["length"], row["crc32"])
    for part in row["slices"]:
        assert utf16_slice(text, part["start"], part["end"]) == part["text"]


@given(TRAVELS)
def test_a_length_is_what_javascript_counts(text: str) -> None:
    """One for each 16-bit unit."""
    assert utf16_length(text) == len(units(text))


@given(TRAVELS, TRAVELS)
def test_lengths_add_up(one: str, other: str) -> None:
    """So `offset` plus length is the next `offset`."""
    assert utf16_length(one + other) == utf16_length(one) + utf16_length(other)


@given(TRAVELS, st.integers(-2, 30), st.integers(-2, 30))
def test_a_slice_is_javascripts_or_nothing(text: str, start: int, end: int) -> None:
    """Where JavaScript would cut a pair or clamp an offset, there is no slice."""
    whole = units(text)
    legal = 0 <= start <= end <= len(whole)
    parts = (whole[:start], whole[start:end], whole[end:]) if legal else ()
    cut = utf16_slice(text, start, end)
    if legal and all(is_whole(part) for part in parts):
        assert cut is not None
        assert units(cut) == whole[start:end]
    else:
        assert cut is None


@given(TRAVELS, TRAVELS)
def test_a_checksum_continues(one: str, other: str) -> None:
    """A client may sum chunk by chunk or all at once."""
    assert crc32(other, crc32(one)) == crc32(one + other) == zlib.crc32((one + other).encode())


def test_the_checksum_is_the_one_of_zip() -> None:
    """The check value that its definition names."""
    assert crc32("123456789") == 0xCBF43926


@given(ANYTHING)
def test_well_formed_is_what_javascript_says_but_for_nul(text: str) -> None:
    """As Python's encoder sees it too: what is well-formed can be sent."""
    paired = all(not 0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert well_formed(text) is (paired and "\0" not in text)
    if well_formed(text):
        assert text.encode().decode() == text


@given(ANYTHING)
def test_mending_gives_well_formed_text_and_changes_nothing_twice(text: str) -> None:
    """Whatever a vendor sends can travel afterwards."""
    mended = mend(text)
    assert well_formed(mended)
    assert mend(mended) == mended


@given(ANYTHING)
def test_mending_is_javascripts_to_well_formed(text: str) -> None:
    """The same number of units, each unpaired half and each NUL replaced where it stood."""
    whole = units(text)
    mended = units(mend(text))
    assert len(mended) == len(whole)
    for at, (before, after) in enumerate(zip(whole, mended, strict=True)):
        high = 0xD800 <= before <= 0xDBFF and is_whole(whole[at : at + 2])
        low = 0xDC00 <= before <= 0xDFFF and at > 0 and is_whole(whole[at - 1 : at + 1])
        broken = before == 0 or (0xD800 <= before <= 0xDFFF and not high and not low)
        assert after == (0xFFFD if broken else before)


@given(TRAVELS.filter(lambda text: not text.isascii()))
def test_halves_split_between_a_vendors_events_are_joined(text: str) -> None:
    """Some vendors cut JSON escapes between the halves of a pair."""
    halves = "".join(chr(unit) for unit in units(text))
    assert mend(halves) == text
