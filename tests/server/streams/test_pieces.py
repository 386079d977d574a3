"""What waits to be told, cut and joined."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.frames.from_server import Logged, Reset, Status, Thought, Tool
from protocol.text import utf16_length
from protocol.types import AnswerState, ResetReason, ToolState
from server.streams import pieces

STATUS = Status(conversation="c", answer="m", attempt=1, state=AnswerState.GENERATING)
TOOL = Tool(conversation="c", answer="m", call="t", name="t", state=ToolState.DONE)
RESET = Reset(conversation="c", answer="m", attempt=2, reason=ResetReason.RETRY)
THOUGHT = Thought(conversation="c", answer="m", offset=0, text="hm")

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(text=TEXTS, cut=st.data())
def test_what_is_before_and_what_is_behind_are_the_whole(text: str, cut: st.DataObject) -> None:
    """Counted in UTF-16 units."""
    head = text[: cut.draw(st.integers(0, len(text)))]
    units = utf16_length(head)
    assert (pieces.before(text, units), pieces.behind(text, units)) == (head, text[len(head) :])


def test_no_text_is_longer_than_it_is() -> None:
    """Nor shorter than nothing."""
    assert (pieces.before("a😀", 9), pieces.behind("a😀", 9)) == ("a😀", "")
    assert pieces.behind("a", -3) == "a"


def test_a_long_text_is_several_frames() -> None:
    """Whose offsets count what browsers count."""
    text = "😀" * (pieces.CHUNK_CHARACTERS + 1)
    first, second = pieces.chunks("m", text, 5)
    assert (first.offset, second.offset) == (5, 5 + 2 * pieces.CHUNK_CHARACTERS)
    assert first.text + second.text == text


def test_texts_that_lie_side_by_side_become_one() -> None:
    """Frames keep their places between them."""
    queue: list[str | Logged] = ["a", "b", STATUS, "c", TOOL]
    assert list(pieces.gathered(queue)) == ["ab", STATUS, "c", TOOL]


def test_of_what_is_dropped_the_promised_is_told() -> None:
    """So much of the text, with its state, and what SQL has committed to."""
    queue: list[str | Logged] = [STATUS, "ab", THOUGHT, "😀c", STATUS, TOOL, "d", RESET]
    assert pieces.promised(queue, 4) == [STATUS, "ab", "😀", TOOL, RESET]
    assert pieces.promised(queue, 0) == [TOOL, RESET]
    assert pieces.promised(queue, -2) == [TOOL, RESET]


def test_what_is_told_elsewhere_is_left_out() -> None:
    """Frames keep their order."""
    queue: list[str | Logged] = [STATUS, "ab", THOUGHT, "😀c", "d"]
    assert pieces.without(queue, 4) == [STATUS, THOUGHT, "c", "d"]
    assert pieces.without(queue, 0) == queue


def test_what_was_made_ready_can_wait_again() -> None:
    """As it was before."""
    assert pieces.taken_back([*pieces.chunks("m", "ab", 0), STATUS]) == ["ab", STATUS]


def test_thoughts_count_as_text_does() -> None:
    """Nothing else is made by a model in any number."""
    assert [pieces.characters(each) for each in ("abc", THOUGHT, TOOL)] == [3, 2, 0]
