"""What every way of words between instances keeps to; see `storage.bus`."""

import asyncio
from typing import Any

import pytest

from tests.contracts.bus.harness import Harness

ODD = ["", " ", "a b", "a:b", "*", "[a-z]?", "{a}", 'pe"r', "zwölf €", "\0", "a\r\nb", "x" * 500]


async def test_all_others_that_listen_hear_and_oneself_does_not(harness: Harness) -> None:
    """Each word once, in the order in which one instance said them."""
    heard: dict[str, list[bytes]] = {"one": [], "other": [], "third": []}
    harness.one.listen("t", heard["one"].append)
    harness.other.listen("t", heard["other"].append)
    harness.third.listen("t", heard["third"].append)
    await harness.settle()
    for word in (b"1", b"2", b"3"):
        harness.one.say("t", word)
    await harness.settle()
    assert heard == {"one": [], "other": [b"1", b"2", b"3"], "third": [b"1", b"2", b"3"]}


async def test_an_instance_hears_only_what_it_listens_to(harness: Harness) -> None:
    """A topic nobody listens to is as good as any other to speak about."""
    heard: list[bytes] = []
    harness.other.listen("t", heard.append)
    await harness.settle()
    harness.one.say("u", b"of another topic")
    harness.one.say("", b"of none")
    harness.one.say("t", b"of this one")
    await harness.settle()
    assert heard == [b"of this one"]


async def test_several_ears_of_one_instance_hear_the_same(harness: Harness) -> None:
    """One that closes leaves the others as they are."""
    first: list[bytes] = []
    second: list[bytes] = []
    listening = harness.other.listen("t", first.append)
    harness.other.listen("t", second.append)
    await harness.settle()
    harness.one.say("t", b"both")
    await harness.settle()
    listening.close()
    harness.one.say("t", b"one")
    await harness.settle()
    assert (first, second) == ([b"both"], [b"both", b"one"])


async def test_the_same_ear_may_listen_twice(harness: Harness) -> None:
    """It is two listenings then, each with an end of its own."""
    heard: list[bytes] = []
    listening = harness.other.listen("t", heard.append)
    harness.other.listen("t", heard.append)
    await harness.settle()
    listening.close()
    listening.close()
    harness.one.say("t", b"w")
    await harness.settle()
    assert heard == [b"w"]


async def test_a_closed_ear_hears_no_more(harness: Harness) -> None:
    """Not even what was said before and is on its way; closing twice is closing once."""
    heard: list[bytes] = []
    listening = harness.other.listen("t", heard.append)
    await harness.settle()
    harness.one.say("t", b"too late")
    listening.close()
    listening.close()
    harness.one.say("t", b"later")
    await harness.settle()
    assert heard == []


async def test_who_listens_again_hears_again(harness: Harness) -> None:
    """At once after the last ear closed, and after a while; what was said between is gone."""
    heard: list[bytes] = []
    harness.other.listen("t", heard.append).close()
    listening = harness.other.listen("t", heard.append)
    await harness.settle()
    harness.one.say("t", b"first")
    await harness.settle()
    listening.close()
    await harness.settle()
    harness.one.say("t", b"missed")
    await harness.settle()
    harness.other.listen("t", heard.append)
    await harness.settle()
    harness.one.say("t", b"again")
    await harness.settle()
    assert heard == [b"first", b"again"]


async def test_an_ear_that_raises_hurts_nobody(harness: Harness) -> None:
    """Neither who speaks, nor other ears, nor what it hears next; the loop is told of it."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    heard: list[bytes] = []

    def clumsy(word: bytes) -> None:
        heard.append(word)
        raise RuntimeError("an ear must not")

    harness.other.listen("t", clumsy)
    harness.other.listen("t", heard.append)
    harness.third.listen("t", heard.append)
    await harness.settle()
    harness.one.say("t", b"1")
    await harness.settle()
    harness.one.say("t", b"2")
    await harness.settle()
    assert sorted(heard) == [b"1"] * 3 + [b"2"] * 3
    assert [str(each["exception"]) for each in told] == ["an ear must not"] * 2


async def test_an_ear_may_speak_listen_and_close(harness: Harness) -> None:
    """Nothing of that happens within the call that it answers."""
    heard: list[bytes] = []

    def answer(word: bytes) -> None:
        heard.append(word)
        listening.close()
        harness.other.listen("t", heard.append)
        harness.other.say("answers", b"you said " + word)

    listening = harness.other.listen("t", answer)
    harness.one.listen("answers", heard.append)
    await harness.settle()
    harness.one.say("t", b"hello")
    assert heard == []
    await harness.settle()
    await harness.settle()
    assert heard == [b"hello", b"you said hello"]


@pytest.mark.parametrize("word", [b"", bytes(range(256)), b"\r\n$-1\r\n", b"x" * 300_000])
async def test_words_are_any_bytes(harness: Harness, word: bytes) -> None:
    """None is cut, spelled anew or taken for a command."""
    heard: list[bytes] = []
    harness.other.listen("t", heard.append)
    await harness.settle()
    harness.one.say("t", word)
    await harness.settle()
    assert heard == [word]


async def test_topics_are_any_text(harness: Harness) -> None:
    """None is a pattern, and no two are the same."""
    heard: list[tuple[str, bytes]] = []
    for topic in ODD:
        harness.other.listen(topic, lambda word, topic=topic: heard.append((topic, word)))  # type: ignore[misc]  # its default is the topic
    await harness.settle()
    for topic in ODD:
        harness.one.say(topic, topic.encode())
    await harness.settle()
    assert sorted(heard) == sorted((topic, topic.encode()) for topic in ODD)


async def test_many_topics_come_and_go(harness: Harness) -> None:
    """As those of sockets do; only who listens now hears."""
    heard: list[int] = []
    listening = [
        harness.other.listen(f"t{number}", lambda word: heard.append(int(word)))
        for number in range(500)
    ]
    for each in listening[::2]:
        each.close()
    await harness.settle()
    for number in range(500):
        harness.one.say(f"t{number}", b"%d" % number)
    await harness.settle()
    assert sorted(heard) == list(range(1, 500, 2))
