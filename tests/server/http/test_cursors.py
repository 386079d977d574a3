"""Places in lists, as texts that only their own list takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ChatError
from server.http.asked import ListPlace, MessagesPlace
from server.http.cursors import CURSOR_CHARACTERS, read, spell
from storage.records import ListedBy, Listing

LISTING = Listing()
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=512)
_PLACES = st.builds(
    ListPlace,
    st.integers(0, 2**53 - 1) | _TEXTS,
    st.from_regex(r"[A-Za-z0-9._:~-]{1,64}", fullmatch=True),
)


@given(_PLACES)
def test_a_place_is_read_as_it_was_spelt(place: ListPlace) -> None:
    """In characters that a URL takes as they are, and no more than a query may have."""
    text = spell(place, LISTING)
    assert read(text, ListPlace, LISTING) == place
    assert len(text) <= CURSOR_CHARACTERS
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_that_was_touched_is_none() -> None:
    """Wherever, however little, and also where a lax reader would not see it."""
    for id in ("c_1", "c_12", "c_123"):
        text = spell(ListPlace(1_790_000_000_000, id), LISTING)
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
    with pytest.raises(ChatError) as error:
        read(text, ListPlace, LISTING)
    assert error.value.code == "invalid_field"


@pytest.mark.parametrize(
    "other", [Listing(text="x"), Listing(by=ListedBy.TITLE), Listing(descending=False), "c_1"]
)
def test_a_cursor_is_good_for_its_own_question_alone(other: object) -> None:
    """And for its own kind of list."""
    text = spell(ListPlace(1, "c_1"), LISTING)
    with pytest.raises(ChatError):
        read(text, ListPlace, other)
    with pytest.raises(ChatError):
        read(text, MessagesPlace, LISTING)


@pytest.mark.parametrize("place", [ListPlace(-1, "c_1"), ListPlace(2**63, "c_1"), ListPlace(1, "")])
def test_a_forged_place_is_within_what_a_database_takes(place: ListPlace) -> None:
    """The digest is no secret: who computes it gets no further."""
    refused(spell(place, LISTING))
