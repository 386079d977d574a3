"""What of a conversation a model is shown."""

import asyncio

import pytest

from protocol.codes import ErrorCode
from protocol.limits import CONTENT_BYTES
from protocol.types import Role
from server.generation import context
from server.generation.context import (
    BYTES_PER_TOKEN,
    SIGNS_AT_ONCE,
    TOKENS_PER_TURN,
    Context,
    Turns,
    build,
    tokens,
)
from server.generation.request import Request
from server.providers.base import Model, ModelFailed, ToolOffer
from storage.records import Said, Thread
from tests.server.generation.scene import Puppet

ROLES = {"u": Role.USER, "a": Role.ASSISTANT, "s": Role.SYSTEM}


def thread(*said: str, more: bool = False) -> Thread:
    """Messages, each as its role's first letter and its text."""
    messages = tuple(Said(role=ROLES[text[0]], content=text[2:]) for text in said)
    return Thread(messages=messages, more=more, model=None, system_prompt=None)


def shown(said: Thread, room: int, asked: Request | None = None, **more: object) -> Context:
    """With so many tokens for everything."""
    model = Model("m", Puppet(), context_tokens=room, calls_tools=bool(more.get("tools")))
    prompt = more.get("prompt")
    assert prompt is None or isinstance(prompt, str)
    return build(Turns(said), asked or Request(), prompt, model, reserve=10)


def texts(found: Context) -> list[str]:
    return [turn.content for turn in found.turns]


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were cleaned."""
    texts: list[str] = []

    def visible(text: str) -> str:
        texts.append(text)
        return text

    monkeypatch.setattr(context, "visible", visible)
    return texts


def test_all_of_a_short_conversation_is_shown() -> None:
    """Oldest first."""
    found = shown(thread("u:one", "a:two", "u:three"), 1000)
    assert texts(found) == ["one", "two", "three"]
    assert (found.left_out, found.more) == (0, False)
    assert found.tokens == 1 + 1 + 2 + 3 * TOKENS_PER_TURN


def test_tokens_are_reckoned_from_bytes() -> None:
    """Rather too many than too few."""
    assert [tokens(text) for text in ("", "a", "abcd", "👋")] == [0, 1, 2, 2]
    assert tokens(b"x" * 300) == 300 // BYTES_PER_TOKEN


def test_the_oldest_are_left_out_first() -> None:
    """Whole; and the first that is shown was said by a person."""
    said = thread("u:" + "x" * 30, "a:" + "y" * 30, "u:z", "a:w", "u:now", more=True)
    found = shown(said, 10 + 3 * 5 + 14)
    assert texts(found) == ["z", "w", "now"]
    assert (found.left_out, found.more) == (2, True)
    assert texts(shown(said, 10 + 2 * 5)) == ["now"]


def test_an_answer_that_came_to_nothing_says_nothing() -> None:
    """One that broke off is shown as far as it came."""
    found = shown(thread("u:one", "a:", "u:two", "a:half an", "u:three"), 1000)
    assert texts(found) == ["one", "two", "half an", "three"]


def test_what_goes_before_takes_its_room() -> None:
    """The answer's own, the tools on offer, the system prompt."""
    said = thread("u:old", "a:old", "u:now")
    assert len(shown(said, 10 + 15).turns) == 3
    assert len(shown(said, 10 + 15, Request(max_tokens=15)).turns) == 1
    assert len(shown(said, 10 + 15, prompt="xxx").turns) == 1
    offer = ToolOffer(name="t", description="", parameters={})
    assert len(shown(said, 10 + 30, Request(tools=(offer,)), tools=True).turns) == 1
    assert len(shown(said, 10 + 30, Request(tools=(offer,))).turns) == 3


@pytest.mark.parametrize("said", [thread("u:" + "x" * 100), thread()])
def test_a_message_that_does_not_fit_is_refused(said: Thread) -> None:
    """A part of it would be another message."""
    with pytest.raises(ModelFailed) as failure:
        shown(said, 20)
    assert (failure.value.code, failure.value.retryable) == (ErrorCode.CONTEXT_TOO_LONG, False)


def test_hidden_signs_are_not_shown() -> None:
    """Neither in the prompt nor in what was said."""
    found = shown(thread("u:a\u200bb"), 1000, prompt="c\u202ed")
    assert (texts(found), found.system_prompt) == (["ab"], "cd")


def test_a_person_is_answered_even_behind_an_answer() -> None:
    """Whatever the last message is, it is shown."""
    assert texts(shown(thread("u:" + "x" * 90, "a:now"), 20)) == ["now"]


def test_only_what_is_shown_is_cleaned(cleaned: list[str]) -> None:
    """A text of hidden signs alone takes its room as well, or any number of them would be gone
    through."""
    said = thread(*(f"u:{n}" + "\u200b" * 30 for n in range(50)))
    found = shown(said, 10 + 3 * (TOKENS_PER_TURN + 31))
    assert (len(found.turns), found.left_out) == (3, 47)
    assert [text[:2] for text in cleaned] == ["49", "48", "47"]


def test_a_text_is_cleaned_once(cleaned: list[str]) -> None:
    """However many steps, tries and models there are."""
    turns = Turns(thread("u:one", "a:two", "u:three"))
    for room in (1000, 25, 1000):
        build(turns, Request(), None, Model("m", Puppet(), context_tokens=room), reserve=10)
    assert sorted(cleaned) == ["one", "three", "two"]


async def test_the_longest_thread_leaves_others_their_turn(cleaned: list[str]) -> None:
    """Between two turns of the loop no more signs are cleaned than take some milliseconds."""
    text = "я" * (CONTENT_BYTES // 2)
    turns = Turns(thread(*["u:" + text] * 50))
    slices: list[int] = []
    watching = asyncio.create_task(turns.prepare(1_000_000))
    while not watching.done():
        before = len(cleaned)
        await asyncio.sleep(0)
        slices.append(sum(map(len, cleaned[before:])))
    assert sum(slices) == 50 * len(text)
    assert max(slices) <= SIGNS_AT_ONCE + len(text)
    assert len(turns.newest(50)) == len(cleaned) == 50
