"""What a model says, on its way into the log: text, thoughts, citations, and where it is cut."""

import asyncio
from itertools import pairwise

import msgspec
import pytest
from msgspec import Raw

from protocol.frames.from_server import Chunk, Citation, Thought
from protocol.frames.objects import Cited, Source
from server.providers.base import CallsTool, Cites, Thinking
from storage.values import Json, Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Act, Scene, done

NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
ASKS = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")
GUIDE = Source(document="guide", title="Guide")
LAW = Source(document="law", title="Law", start=3, end=9)


def sources(*found: Source) -> Json:
    return Raw(msgspec.json.encode(found))


@pytest.mark.parametrize(
    ("said", "most", "kept"),
    [
        (["abc", "def"], 4, "abcd"),
        (["abc", "def"], 3, "abc"),
        (["aé", "éé"], 6, "aéé"),
        (["ab", "👋👋"], 7, "ab👋"),
        (["ab", "👋"], 5, "ab"),
        (["👋"], 1, ""),
    ],
)
async def test_an_answer_is_cut_at_its_greatest_length(
    make: Makes, said: list[Act], most: int, kept: str
) -> None:
    """In bytes, and never within a sign; what the model said is paid for."""
    scene = await make(output_bytes=most)
    scene.plays([*said, "never", done()])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("failed", "limit")
    assert (await scene.message(sent)).content == kept
    assert (await scene.spent()).completion_tokens == len("".join(map(str, said)))


async def test_what_fits_exactly_is_whole(make: Makes) -> None:
    """And 0 bounds nothing."""
    for most in (6, 0):
        scene = await make(output_bytes=most)
        scene.plays(["abcdef", done(tokens=6)])
        sent = await scene.send()
        await scene.idle()
        assert (await scene.complete(sent)).outcome == "complete"


async def test_the_greatest_length_is_of_all_steps(make: Makes) -> None:
    """Also over a pause for a person."""
    scene = await make(output_bytes=8)
    scene.plays(["abcd", ASKS, done(None, 4)], ["efghij", done()])
    sent = await scene.send()
    await scene.idle()
    call = (await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer))[0]
    await scene.store.tools.decide(
        scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=True
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    assert (await scene.message(sent)).content == "abcdefgh"
    assert (await scene.complete(sent)).finish_reason == "limit"


async def test_thoughts_have_offsets_of_their_own(scene: Scene) -> None:
    """They are told, kept out of the text, and go on behind a tool."""
    scene.plays(
        [Thinking("hm "), "text", Thinking("👋"), NOON, done(None, 4)], [Thinking("!"), done()]
    )
    sent = await scene.send()
    await scene.idle()
    frames = await scene.frames(sent.conversation)
    thoughts = [one for one in frames if isinstance(one, Thought)]
    assert [(one.offset, one.text) for one in thoughts] == [(0, "hm "), (3, "👋"), (5, "!")]
    assert (await scene.complete(sent)).length == 4


async def test_thoughts_can_be_kept_back(make: Makes) -> None:
    """A policy of the server's; the model's time is its own all the same."""
    scene = await make(thoughts=False)
    scene.plays([Thinking("secret"), "text", done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    assert [one for one in await scene.frames(sent.conversation) if isinstance(one, Thought)] == []


async def test_citations_are_of_the_whole_answer(scene: Scene) -> None:
    """A step's own offsets are shifted; sources are named once."""
    scene.plays(
        ["👋 one", Cites(start=3, end=6, sources=sources(GUIDE)), NOON, done(None, 5)],
        [" two", Cites(start=1, end=4, sources=sources(LAW, GUIDE)), done(tokens=4)],
    )
    sent = await scene.send()
    await scene.idle()
    frames = await scene.frames(sent.conversation)
    assert [(one.start, one.end) for one in frames if isinstance(one, Citation)] == [
        (3, 6),
        (7, 10),
    ]
    complete = await scene.complete(sent)
    assert complete.sources == [GUIDE, LAW]
    answered = (await scene.message(sent)).answered
    assert answered is not None
    assert msgspec.json.decode(answered.citations, type=list[Cited]) == [
        Cited(start=3, end=6, sources=[GUIDE]),
        Cited(start=7, end=10, sources=[LAW, GUIDE]),
    ]


@pytest.mark.parametrize(
    "cites",
    [
        Cites(start=0, end=5, sources=sources(GUIDE)),
        Cites(start=3, end=2, sources=sources(GUIDE)),
        Cites(start=-1, end=2, sources=sources(GUIDE)),
        Cites(start=0, end=2, sources=Raw(b'[{"document":"no title"}]')),
        Cites(start=0, end=2, sources=Raw(b"{")),
    ],
)
async def test_a_citation_that_cannot_be_is_left_out(scene: Scene, cites: Cites) -> None:
    """Of no text, or of no source."""
    scene.plays(["text", cites, done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    frames = await scene.frames(sent.conversation)
    assert [one for one in frames if isinstance(one, Citation)] == []
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_parked_answer_shows_its_citations(scene: Scene) -> None:
    """To a device that knows nothing but its rows; and they are there in the end."""
    scene.plays(["text", Cites(start=0, end=4, sources=sources(GUIDE)), ASKS, done(None, 4)])
    sent = await scene.send()
    await scene.idle()
    shown = await scene.store.history.snapshot(scene.world.owner, sent.conversation)
    (waiting,) = shown.unfinished
    assert (waiting.text, waiting.answer.state) == ("text", "parked")
    assert msgspec.json.decode(waiting.citations, type=list[Cited])[0].sources == [GUIDE]
    scene.plays([done()])
    call = waiting.tools[0]
    await scene.store.tools.decide(
        scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=False
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    assert (await scene.complete(sent)).sources == [GUIDE]


async def test_a_model_that_never_waits_leaves_others_their_turn(scene: Scene) -> None:
    """Two flood at the same time, and both are told meanwhile."""
    order: list[str] = []
    gate = asyncio.Event()
    for name in "ab":
        script: list[Act] = [gate]
        for _ in range(300):
            script += [lambda name=name: order.append(name), "x"]  # type: ignore[misc]
        scene.plays([*script, done(tokens=300)])
    first, second = await scene.send(), await scene.send()
    await scene.until(lambda: scene.puppet.open == 2)
    gate.set()
    await scene.idle()
    assert sum(one != other for one, other in pairwise(order)) > 2
    for sent in (first, second):
        chunks = [one for one in await scene.frames(sent.conversation) if isinstance(one, Chunk)]
        assert len(chunks) > 2
        assert (await scene.complete(sent)).length == 300
    assert await scene.spent() == Spent(2, 600, 0)


async def test_a_model_waits_for_a_log_that_is_slow(make: Makes) -> None:
    """Its text does not pile up; and that is not its silence."""
    scene = await make()
    gate = asyncio.Event()
    append = scene.log.append

    async def slow(batch):  # type: ignore[no-untyped-def]
        await gate.wait()
        return await append(batch)

    scene.plays([*["x" * 1000] * 200, done(tokens=200_000)])
    sent = await scene.send(start=False)
    scene.log.append = slow  # type: ignore[method-assign]
    assert sent.run is not None
    scene.supervisor.start(sent.run)
    await scene.until(lambda: len(scene.puppet.said) > 60)
    for _ in range(200):
        await asyncio.sleep(0)
    said = len(scene.puppet.said)
    assert said < 140
    for _ in range(3):
        scene.time.now += 14
        await scene.supervisor.beat()
        await scene.supervisor.tick()
    assert len(scene.puppet.said) == said
    gate.set()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "limit"
