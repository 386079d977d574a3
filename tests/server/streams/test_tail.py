"""What an answer has told its log and SQL has yet to store."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.text import utf16_length, utf16_slice
from server.streams.tail import Told

TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))


def test_nothing_told_is_nothing_to_save() -> None:
    """A taker begins behind what SQL has."""
    told = Told(7)
    assert told.unsaved() == (7, "")
    assert told.end == 7


@given(texts=TEXTS, saves=st.data())
def test_what_is_saved_and_what_is_not_are_the_whole(
    texts: list[str], saves: st.DataObject
) -> None:
    """Wherever checkpoints fall, also within a piece, the rest begins where they end."""
    told, whole = Told(0), ""
    for text in texts:
        told.add(text)
        whole += text
        cut = saves.draw(st.integers(0, len(whole)))
        told.saved(utf16_length(whole[:cut]))
        start, rest = told.unsaved()
        assert utf16_slice(whole, start, utf16_length(whole)) == rest
        assert start >= utf16_length(whole[:cut])


def test_another_attempt_begins_at_nought() -> None:
    """What was told before a reset is not to be saved any more."""
    told = Told(0)
    told.add("shown")
    told.restart()
    assert told.unsaved() == (0, "")
    told.add("anew")
    assert told.unsaved() == (0, "anew")


def test_sql_may_have_more_than_the_log() -> None:
    """It was given what gathered while the log was away."""
    told = Told(0)
    told.add("ab")
    told.saved(5)
    assert (told.end, told.unsaved()) == (2, (5, ""))
    told.add("cd")
    assert told.unsaved() == (5, "")
    told.add("e😀")
    assert told.unsaved() == (5, "😀")
    told.saved(3)  # an older checkpoint's reply
    assert told.unsaved() == (5, "😀")
