"""Places in lists, as texts that only their own list takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ChatError
from server.http.asked import MessagesPlace, TimePlace, TitlePlace
from server.http.cursors import CURSOR_CHARACTERS, read, spell
from storage.records import Cursor, ListedBy, Listing

LISTING = Listing()
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=512)
_NUMBERS = st.integers(0, 2**53 - 1)
_IDS = st.from_regex(r"[A-Za-z0-9._:~-]{1,64}", fullmatch=True)
_PLACES = st.builds(TimePlace, _NUMBERS, _IDS, _NUMBERS) | st.builds(
    TitlePlace, _TEXTS, _IDS, _NUMBERS
)


@given(_PLACES)
def test_a_place_is_read_as_it_was_spelt(place: TimePlace | TitlePlace) -> None:
    """In characters that a URL takes as they are, and no more than a query may have."""
    text = spell(place, LISTING)
    assert read(text, type(place), LISTING) == place
    assert len(text) <= CURSOR_CHARACTERS
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_that_was_touched_is_none() -> None:
    """Wherever, however little, and also where a lax reader would not see it."""
    for id in ("c_1", "c_12", "c_123"):
        text = spell(TimePlace(1_790_000_000_000, id, 7), LISTING)
        for at, character in enumerate(text):
            for other in "Ab0_-=+/ é":
                if other != character:
                    refused(text[:at] + other + text[at + 1 :])
            refused(text[:at] + text[at + 1 :])
        for more in ("=", "==", " ", "A", "\n"):
            refused(text + more)
            refused(more + text)


def refused(text: str) -> None:
    """That text is no place."""
    for kind in (TimePlace, TitlePlace):
        with pytest.raises(ChatError) as error:
            read(text, kind, LISTING)
        assert error.value.code == "invalid_field"


@pytest.mark.parametrize(
    "other", [Listing(text="x"), Listing(by=ListedBy.TITLE), Listing(descending=False), "c_1"]
)
def test_a_cursor_is_good_for_its_own_question_alone(other: object) -> None:
    """And for its own kind of list."""
    text = spell(TimePlace(1, "c_1", 1), LISTING)
    with pytest.raises(ChatError):
        read(text, TimePlace, other)
    with pytest.raises(ChatError):
        read(text, MessagesPlace, LISTING)


@pytest.mark.parametrize(
    "place",
    [
        TimePlace(-1, "c_1", 1),
        TimePlace(2**63, "c_1", 1),
        TimePlace(1, "", 1),
        TimePlace(1, "c_1", -1),
        TitlePlace("x" * 513, "c_1", 1),
        TitlePlace("a\0b", "c_1", 1),
        TitlePlace("a", "c\0", 1),
    ],
)
def test_a_forged_place_is_within_what_a_database_takes(place: TimePlace | TitlePlace) -> None:
    """The digest is no secret: who computes it gets no further."""
    refused(spell(place, LISTING))


@pytest.mark.parametrize(
    ("kind", "forged"),
    [(TitlePlace, TimePlace(1, "c_1", 1)), (TimePlace, TitlePlace("1", "c_1", 1))],
)
def test_a_place_is_of_what_the_list_is_sorted_by(
    kind: type[Cursor], forged: TimePlace | TitlePlace
) -> None:
    """PostgreSQL compares no text with a number."""
    with pytest.raises(ChatError):
        read(spell(forged, LISTING), kind, LISTING)
