"""How the built-in models count a prompt."""

from server.providers.base import ToolOutcome
from server.providers.counting import prompt_tokens
from storage.values import EMPTY_OBJECT
from tests.support.models import asks


def test_every_word_that_is_read_counts_once() -> None:
    """System prompt, turns, what was said and what tools gave; not their arguments."""
    outcome = ToolOutcome(
        call="t", name="clock", arguments=EMPTY_OBJECT, result="half past nine", failed=False
    )
    request = asks(
        "one two",
        "three",
        "four  five\nsix",
        system_prompt="be brief",
        said="well",
        outcomes=(outcome,),
    )
    assert prompt_tokens(request) == 2 + 1 + 3 + 2 + 1 + 3


def test_nothing_counts_nothing() -> None:
    """White space is no word."""
    assert prompt_tokens(asks(" \n")) == 0
