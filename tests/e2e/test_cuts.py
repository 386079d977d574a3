"""A client that is cut off after every frame and comes back through the other instance.

Two instances over one PostgreSQL and one Redis, behind nginx. It sends each new connection to the
next instance, and there is one client that connects: it never meets the same one twice in a row.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import reduce
from itertools import count, pairwise

import pytest
from msgspec import Struct

from tests.conftest import LONG, Makes
from tests.deploy.front import Front, databases, front_in
from tests.e2e.alone.client import Frame, Wire
from tests.faults.town import token
from tests.support.services import LOOPBACK

CHUNKS = 200
SPARE = 50  # tokens more, for some may share a frame on a busy machine
WORD = " tökén 😀"  # of 1, 2 and 4 bytes, and of 1 and 2 UTF-16 units
EVERY_MS = 40 if LONG else 15  # while a client comes back, which takes some milliseconds
PATIENCE_S = 20.0
ids = count(1)


class Spot(Struct, frozen=True):
    """Where in a conversation a client was cut off, and what it had of the answer."""

    epoch: str
    seq: int
    text: str


class Conversation(Struct, frozen=True):
    """One with one answer."""

    id: str
    answer: str


class Resumed(Struct, frozen=True):
    """How a client was let in again: by whom, and what it was told until it was level."""

    instance: str
    told: list[Frame]

    @property
    def chunks(self) -> list[Frame]:
        """The data among it."""
        return [frame for frame in self.told if frame["type"] == "chunk"]


@pytest.fixture(scope="module")
def front(
    tmp_path_factory: pytest.TempPathFactory, fresh_postgres: Makes, redis_url: str
) -> Iterator[Front]:
    """Each token is a frame of its own, as far as the log keeps up."""
    settings = {
        **databases(fresh_postgres(), redis_url),
        "PARLEY_STREAMS_GATHER_MS": "0",
        "PARLEY_STREAMS_GATHER_MOST_MS": "0",
    }
    with front_in(tmp_path_factory.mktemp("front"), "one", "two", **settings) as front:
        yield front


@asynccontextmanager
async def greeted(
    url: str, encoding: str, conversation: Conversation | None = None, spot: Spot | None = None
) -> AsyncIterator[Wire]:
    """A socket whose `hello` is on its way, from that spot; in the end it is cut, not closed."""
    wire = await Wire.dial(url.replace("http", "ws", 1) + "/ws", encoding)
    places = []
    if conversation is not None and spot is not None:
        places.append({"conversation": conversation.id, "epoch": spot.epoch, "seq": spot.seq})
    try:
        await wire.send({"type": "hello", "token": token("ada"), "attach": places})
        yield wire
    finally:
        wire.abort()
        await wire.socket.wait_closed()


async def heard(wire: Wire) -> Frame:
    """The next frame that is not about who else is there."""
    async with asyncio.timeout(PATIENCE_S):
        while (frame := await wire.recv())["type"] in {"presence", "conversations"}:
            pass
    return frame


async def hear(wire: Wire, kind: str) -> Frame:
    """The next frame, which is of that kind."""
    frame = await heard(wire)
    assert frame["type"] == kind, frame
    return frame


async def asked(wire: Wire, tokens: int, every_ms: float) -> tuple[Conversation, Spot]:
    """A message that is acknowledged, and the position before its first frame."""
    content = json.dumps({"tokens": tokens, "text": WORD, "every_ms": every_ms})
    await wire.send({"type": "chat", "id": f"cut-{next(ids)}", "content": content})
    ack = await hear(wire, "ack")
    conversation = Conversation(ack["conversation"], ack["answer"])
    return conversation, Spot(ack["epoch"], ack["seq"], "")


def after(spot: Spot, frame: Frame) -> Spot:
    """Where a client is that has heard this too: the next frame, at the next place of the text."""
    assert frame.get("from", frame["seq"]) == spot.seq + 1, (spot, frame)
    text = spot.text
    if frame["type"] == "chunk":
        assert frame["offset"] == len(text.encode("utf-16-le")) // 2
        text += frame["text"]
    return Spot(spot.epoch, frame["seq"], text)


async def resumed(wire: Wire, spot: Spot, *last: str) -> Resumed:
    """Let in at its own position, and told on until a frame of one of these types."""
    welcome = await hear(wire, "welcome")
    attached = await hear(wire, "attached")
    assert attached["recovered"], attached
    assert (attached["epoch"], attached["seq"]) == (spot.epoch, spot.seq)
    told = [await heard(wire)]
    while told[-1]["type"] not in last:
        told.append(await heard(wire))
    return Resumed(welcome["server"]["instance"], told)


async def stored(wire: Wire, conversation: Conversation) -> str:
    """The answer's text as it is kept."""
    named = {"id": f"history-{next(ids)}", "conversation": conversation.id}
    await wire.send({"type": "history", **named})
    page = await hear(wire, "history")
    [text] = [row["content"] for row in page["messages"] if row["id"] == conversation.answer]
    return str(text)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_from_every_boundary_of_an_ended_answer_one_frame_brings_it_level(
    front: Front, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From before the first frame to after the last; what was missed comes folded into one."""
    async with greeted(front.url, encoding) as wire:
        await hear(wire, "welcome")
        conversation, spot = await asked(wire, CHUNKS + SPARE, every_ms=8)
        spots, chunks = [spot], 0
        while (frame := await heard(wire))["type"] != "complete":
            spots.append(after(spots[-1], frame))
            chunks += frame["type"] == "chunk"
        last = after(spots[-1], frame)
        whole = await stored(wire, conversation)
    assert chunks >= CHUNKS
    assert last.text == whole == WORD * (CHUNKS + SPARE)

    hosts: list[str] = []
    for spot in spots:
        async with greeted(front.url, encoding, conversation, spot) as wire:
            back = await resumed(wire, spot, "complete")
            assert len(back.chunks) == (0 if spot.text == whole else 1)
            assert reduce(after, back.told, spot).text == await stored(wire, conversation) == whole
        hosts.append(back.instance)
    async with greeted(front.url, encoding, conversation, last) as wire:
        hosts.append((await hear(wire, "welcome"))["server"]["instance"])
        assert (await hear(wire, "attached"))["recovered"]
        assert await stored(wire, conversation) == whole  # it is answered before anything else
    assert alternate(hosts)
    with capsys.disabled():
        print(f"\n{encoding}: {chunks} chunks, cut at {len(hosts)} boundaries")  # noqa: T201


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_cut_off_after_each_frame_while_it_streams_it_has_the_whole_text(
    front: Front, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first data it is told each time bring it level with a device that was never cut off."""
    async with greeted(front.url, encoding) as wire:
        await hear(wire, "welcome")
        conversation, spot = await asked(wire, CHUNKS, EVERY_MS)
    hosts: list[str] = []
    # Not through the proxy, which gives the client each instance in its turn.
    direct = f"http://{LOOPBACK}:{front.ports[0]}"
    async with greeted(direct, encoding, conversation, spot) as other:
        await hear(other, "welcome")
        await hear(other, "attached")
        witness = Witness(other, spot)
        ended = False
        while not ended:
            level = witness.spot.text
            async with greeted(front.url, encoding, conversation, spot) as wire:
                back = await resumed(wire, spot, "chunk", "complete")
                spot = reduce(after, back.told, spot)
                hosts.append(back.instance)
                ended = back.told[-1]["type"] == "complete"
                assert spot.text.startswith(level)
        await witness.reading
    async with greeted(direct, encoding) as wire:
        await hear(wire, "welcome")
        assert spot.text == witness.spot.text == await stored(wire, conversation) == WORD * CHUNKS
    assert alternate(hosts)
    assert len(hosts) > CHUNKS / 10
    with capsys.disabled():
        print(f"\n{encoding}: cut {len(hosts)} times while {CHUNKS} tokens came")  # noqa: T201


def alternate(hosts: list[str]) -> bool:
    """Whether nobody was met twice in a row."""
    return all(one != other for one, other in pairwise(hosts))


class Witness:
    """A device that hears everything, from where it is to the answer's end."""

    def __init__(self, wire: Wire, spot: Spot) -> None:
        self.spot = spot
        self.reading = asyncio.create_task(self._read(wire))

    async def _read(self, wire: Wire) -> None:
        ended = False
        while not ended:
            frame = await heard(wire)
            self.spot = after(self.spot, frame)
            ended = frame["type"] == "complete"
