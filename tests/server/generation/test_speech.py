"""What a model says, on its way into the log: text, thoughts, citations, and where it is cut."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from msgspec import Raw

from protocol.codec import JSON, Unknown
from protocol.frames.from_server import Chunk, Citation, Logged, Thought
from protocol.frames.objects import Cited, Source
from protocol.limits import SERVER_FRAME_BYTES
from protocol.types import Position
from server.generation import speech
from server.providers.base import CallsTool, Cites, Thinking
from server.streams.pieces import CHUNK_CHARACTERS
from storage.log import Append, Appended, Refused, Slice
from storage.records import Message
from storage.values import Json, Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Act, Scene, done

NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
ASKS = CallsTool(name="wipe", arguments=RAW, approval=True, scripted_result="wiped")
GUIDE = Source(document="guide", title="Guide")
LAW = Source(document="law", title="Law", start=3, end=9)
CITED = ((0, GUIDE), (8, LAW))


def sources(*found: Source) -> Json:
    return Raw(msgspec.json.encode(found))


def citations(message: Message) -> list[Cited]:
    """As they are stored."""
    assert message.answered is not None
    return msgspec.json.decode(message.answered.citations, type=list[Cited])


def only_thoughts(frames: Sequence[Logged | Unknown]) -> list[Thought]:
    return [one for one in frames if isinstance(one, Thought)]


class Gate:
    """Appends wait while it is shut."""

    def __init__(self, scene: Scene) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._append = scene.log.append
        self.shut, self.open = self._open.clear, self._open.set
        scene.log.append = self._wait  # type: ignore[method-assign]

    async def _wait(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        await self._open.wait()
        return await self._append(batch)


async def sizes(scene: Scene, conversation: str) -> list[int]:
    """Bytes of all frames that the log has, as they are sent."""
    head = (await scene.log.heads([conversation]))[conversation]
    assert head is not None
    page = await scene.log.read(conversation, Position(head.epoch, 0), 100_000)
    assert isinstance(page, Slice)
    return [len(JSON.stamp(entry.body, entry.seq)) for entry in page.entries]


@pytest.mark.parametrize(
    ("said", "most", "kept"),
    [
        (["abc", "def"], 4, "abcd"),
        (["abc", "def"], 3, "abc"),
        (["aé", "éé"], 6, "aéé"),
        (["ab", "👋👋"], 7, "ab👋"),
        (["ab", "👋"], 5, "ab"),
        (["👋"], 1, ""),
        (["\x1b\x1b"], 11, "\x1b"),
        (['say "hello"'], 9, 'say "hel'),
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
    """Or has room left."""
    for most in (6, 7):
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
    gate = Gate(scene)
    scene.plays([*["x" * 1000] * 200, done(tokens=200_000)])
    sent = await scene.send(start=False)
    gate.shut()
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
    gate.open()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "limit"


async def test_a_model_that_only_thinks_waits_as_well(make: Makes) -> None:
    """For a log that is slow, with no more thoughts in the queue than text might be."""
    scene = await make(output_bytes=1 << 30)
    gate = Gate(scene)
    thought = 0

    def think() -> None:
        nonlocal thought
        thought += 1

    script: list[Act] = []
    for _ in range(200):
        script += [think, Thinking("x" * 1000)]
    scene.plays([*script, done()])
    sent = await scene.send(start=False)
    gate.shut()
    assert sent.run is not None
    scene.supervisor.start(sent.run)
    await scene.until(lambda: thought > 60)
    for _ in range(400):
        await asyncio.sleep(0)
    assert thought < 140
    gate.open()
    await scene.idle()
    told = only_thoughts(await scene.frames(sent.conversation))
    assert sum(len(one.text) for one in told) == 200_000


async def test_while_an_answer_is_held_nothing_of_it_is_told(scene: Scene) -> None:
    """Neither thoughts nor citations, nor is it ended: it may be another's by now."""
    gate = asyncio.Event()
    cites = Cites(start=0, end=1, sources=sources(GUIDE))
    scene.plays(["a", gate, Thinking("hm"), cites, Thinking("so"), done(tokens=1)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "a")
    before = await scene.frames(sent.conversation)
    scene.time.now += 10
    await scene.supervisor.tick()
    gate.set()
    for _ in range(100):
        await asyncio.sleep(0)
    assert await scene.frames(sent.conversation) == before
    await scene.supervisor.beat()
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert (await scene.complete(sent)).sources == [GUIDE]
    assert len(only_thoughts(await scene.frames(sent.conversation))) == 2


async def test_a_long_thought_is_told_in_pieces(make: Makes) -> None:
    """None of which is bigger than a frame may be, whatever it consists of."""
    scene = await make(output_bytes=1 << 30)
    text = "\u0001" * 100_000 + "👋" * 1000
    scene.plays([Thinking(text), Thinking("!"), done()])
    sent = await scene.send()
    await scene.idle()
    told = only_thoughts(await scene.frames(sent.conversation))
    assert "".join(one.text for one in told) == text + "!"
    assert max(len(one.text) for one in told) == CHUNK_CHARACTERS
    offset = 0
    for one in told:
        assert one.offset == offset
        offset += len(one.text.encode("utf-16-le")) // 2
    assert max(await sizes(scene, sent.conversation)) < SERVER_FRAME_BYTES


@pytest.mark.parametrize(
    ("thoughts", "told", "kept"),
    [(["abcdef"], "abcdef", "ghij"), (["abc", "defghijklmn"], "abcdefghij", "")],
)
async def test_thoughts_count_towards_the_greatest_length(
    make: Makes, thoughts: list[str], told: str, kept: str
) -> None:
    """And are cut there themselves."""
    scene = await make(output_bytes=10)
    scene.plays([*map(Thinking, thoughts), "ghijkl", done()])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "limit"
    assert (await scene.message(sent)).content == kept
    frames = only_thoughts(await scene.frames(sent.conversation))
    assert "".join(one.text for one in frames) == told


async def test_citations_have_no_more_room_than_a_message_leaves_them(scene: Scene) -> None:
    """Whatever a model cites: no frame is too big, and what is told is what is stored."""
    long = "\u0001" * 1024
    many = [Source(document=f"d{n}", title="D", snippet=long) for n in range(64)]
    cites = Cites(start=0, end=4, sources=sources(*many))
    scene.plays(["text", *[cites] * 100, done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    frames = await scene.frames(sent.conversation)
    told = [one for one in frames if isinstance(one, Citation)]
    message = await scene.message(sent)
    assert [one.sources for one in told] == [one.sources for one in citations(message)]
    assert 1 <= len(told[0].sources) < 64
    assert len(msgspec.json.encode(citations(message))) <= speech.CITED_BYTES
    assert max(await sizes(scene, sent.conversation)) < SERVER_FRAME_BYTES


async def test_what_a_stop_cut_off_is_not_stored(scene: Scene) -> None:
    """A citation whose text nobody was shown would name a span beyond the text."""
    gate = Gate(scene)
    gates = [asyncio.Event(), asyncio.Event()]
    shown, cut = (Cites(start=at, end=at + 4, sources=sources(one)) for at, one in CITED)
    scene.plays(["aaaa", shown, gates[0], "bbbb", gates[1], "cccc", cut, asyncio.Event()])
    sent = await scene.send()
    run = scene.supervisor._runs[sent.answer]
    await scene.until(lambda: run._draft)
    work = run._draft
    assert work is not None
    await scene.until(lambda: work.writer.cited == 1)
    gate.shut()
    gates[0].set()
    await scene.until(lambda: work.writer._under_way)
    gates[1].set()
    await scene.until(lambda: len(work.speech.cited) == 2)
    await scene.supervisor.checkpoint()
    snapshot = await scene.store.history.snapshot(scene.world.owner, sent.conversation)
    assert len(msgspec.json.decode(snapshot.unfinished[0].citations)) == 1
    await scene.stop(sent.answer)
    await scene.until(lambda: run.decided)
    gate.open()
    await scene.idle()
    assert (await scene.complete(sent)).sources == [GUIDE]
    message = await scene.message(sent)
    assert message.content == "aaaabbbb"
    frames = await scene.frames(sent.conversation)
    told = [
        Cited(start=one.start, end=one.end, sources=one.sources)
        for one in frames
        if isinstance(one, Citation)
    ]
    assert told == citations(message) == [Cited(start=0, end=4, sources=[GUIDE])]


async def test_tool_calls_that_are_stored_are_told_whatever_a_stop_cut_off(scene: Scene) -> None:
    """Their rows stand, so a reload shows them; the text about them is dropped all the same."""
    gate = Gate(scene)
    first = asyncio.Event()
    scene.plays(["one", first, "two", NOON, done(None, 6)], ["three", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one")
    run = scene.supervisor._runs[sent.answer]
    gate.shut()
    first.set()
    await scene.until(lambda: scene.puppet.said == ["one", "two", "three"])
    await scene.stop(sent.answer)
    await scene.until(lambda: run.decided)
    gate.open()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"
    (stored,) = (await scene.message(sent)).tools
    assert (await scene.tools(sent))[-1] == (stored.state, stored.result) == ("done", "noon")
    assert "three" not in (await scene.message(sent)).content
