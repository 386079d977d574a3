"""What instances tell each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode
from protocol.frames import from_server as s
from server import words
from server.words import AnyWord, Here, Kick, Look, Pass, Wake
from storage.memory.bus import MemoryBus, Switchboard
from storage.values import Owner
from tests.support.waiting import pause

TYPING = s.Typing(conversation="c_1", user="ann")


async def heard(data: bytes) -> list[AnyWord]:
    """What a listener makes of these bytes."""
    switchboard = Switchboard()
    found: list[AnyWord] = []
    words.listen(MemoryBus(switchboard), "t", found.append)
    MemoryBus(switchboard).say("t", data)
    await pause()
    return found


@pytest.mark.parametrize(
    "word",
    [
        Wake("m_1"),
        Kick(CloseCode.NOT_LEVEL),
        Look(),
        Pass(TYPING),
        Here("a", 3),
        Here("a", 0, asks=True),
    ],
)
async def test_a_word_arrives_as_it_was_said(word: words.Word) -> None:
    """Whatever it carries."""
    switchboard = Switchboard()
    found: list[AnyWord] = []
    words.listen(MemoryBus(switchboard), "t", found.append)
    words.say(MemoryBus(switchboard), "t", word)
    await pause()
    assert found == [word]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b'{"word":"sing"}',
        b'{"word":"kick"}',
        b'{"word":"kick","code":"x"}',
        b'{"word":"pass","frame":{"type":"sings"}}',
        b'{"word":"wake","answer":"\xff"}',
        b'{"word":"wake","answer":' + b"[" * 100_000,
    ],
)
async def test_what_is_not_known_here_is_ignored(data: bytes) -> None:
    """A newer version may say it, or nobody of ours at all."""
    assert await heard(data) == []


async def test_fields_of_a_newer_version_are_ignored() -> None:
    """What is known of the word counts."""
    data = {"word": "kick", "code": 4005, "loudly": True}
    assert await heard(msgspec.json.encode(data)) == [Kick(CloseCode.NOT_LEVEL)]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=2, max_size=2, unique=True))
def test_no_two_persons_share_a_topic(persons: list[tuple[str, str]]) -> None:
    """However their tenants and names are spelled."""
    one, other = (words.to_person(Owner(*person)) for person in persons)
    assert one != other


def test_topics_of_different_kinds_differ() -> None:
    """An id of one kind may spell another's."""
    assert words.to_incarnation("x") != words.to_conversation("x")
