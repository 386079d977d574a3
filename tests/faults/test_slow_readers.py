"""Readers that fall behind, or stop: they cost no more than their bound, and miss nothing."""

import asyncio
import json
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest

from protocol.codec import JSON
from tests.conftest import LONG
from tests.faults.device import Cut, Device, small
from tests.faults.house import House, house_in
from tests.faults.onlookers import onlookers
from tests.faults.plans import script
from tests.faults.town import get, token
from tests.faults.view import Frame
from tests.load.peer import Heard, Peer, asked, greeted, hello
from tests.support import tally

pytestmark = [pytest.mark.alone, pytest.mark.row(20)]

READERS, SLOW = (1000, 100) if LONG else (20, 6)
FREED_S = 45.0
PATIENCE_S = 240.0 if LONG else 40.0
TOKEN = "x" * 4095 + " "
TOKENS = 46  # of an answer, which may be no longer than 192 KiB
ANSWERS = 14  # 2.6 MB together, of which a socket that reads nothing is kept 1 MiB
EVERY_MS = 500 if LONG else 60
RECEIVE_BUFFER = 4096
SETTINGS = {"PARLEY_LIMITS_SOCKETS_PER_PERSON": "100000"}
MIB = 1024 * 1024
PAIRS = 5  # of a stretch in which all read, and one in which some stop
ONLOOKERS = 20  # of those who read, with an answer of their own each
SLOWER = 1.1  # what the others' p99 may grow by


class Audience:
    """Answers of one person: those with little room follow all of them, the others the first."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.all: list[Device] = []
        self.asked: list[Frame] = []  # their acknowledgements

    async def gather(self, *, answers: int, slow: int, others: int) -> None:
        """Connect, and attach to conversations in which something was said."""
        self.asker = await self._come(None)
        hello = {"type": "chat", "content": script(TOKEN, 1)}
        self.asked = [await self.asker.ask(hello) for _ in range(answers)]
        await asyncio.gather(*[self._follow(RECEIVE_BUFFER) for _ in range(slow)])
        for _ in range(others):
            await self._follow(None)

    async def begin(self) -> None:
        """Ask for a long answer in each of the conversations."""
        ask = {"type": "chat", "content": script(TOKEN, TOKENS, every_ms=EVERY_MS)}
        self.asked = [
            await self.asker.ask({**ask, "conversation": said["conversation"]})
            for said in self.asked
        ]

    @property
    def slow(self) -> list[Device]:
        """Those with little room."""
        return [device for device in self.all if device.receive_buffer is not None]

    @property
    def others(self) -> list[Device]:
        """Those who read as fast as they can."""
        return [device for device in self.all if device.receive_buffer is None]

    def texts(self, device: Device) -> list[str]:
        """The answers on a device that it follows."""
        shown = [device.view.answer(ack["answer"]) for ack in self._of(device)]
        return [answer.text if answer is not None else "" for answer in shown]

    async def until(self, tokens: int) -> None:
        """Until all who read have so many tokens of each answer."""
        for device in self.others:
            await device.until(partial(self._have, device, tokens))

    async def until_ended(self, devices: list[Device]) -> None:
        """Until they show it all; who was closed comes back as often as that takes."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*map(self._until_ended, devices))

    async def _until_ended(self, device: Device) -> None:
        while True:
            try:
                return await device.until(partial(self._have_ended, device), PATIENCE_S)
            except Cut:
                await self.house.connect(device)

    def _have(self, device: Device, tokens: int) -> bool:
        return all(len(text) >= tokens * len(TOKEN) for text in self.texts(device))

    def _have_ended(self, device: Device) -> bool:
        return all(device.view.has_ended(ack["answer"]) for ack in self._of(device))

    def _of(self, device: Device) -> list[Frame]:
        return self.asked[: 1 if device.receive_buffer is None else None]

    async def _follow(self, receive_buffer: int | None) -> None:
        device = await self._come(receive_buffer)
        for ack in self._of(device):
            await device.ask({"type": "attach", "conversation": ack["conversation"]})

    async def _come(self, receive_buffer: int | None) -> Device:
        device = self.house.device("ann")
        device.receive_buffer = receive_buffer
        await self.house.connect(device)
        self.all.append(device)
        return device


def closed(house: House) -> Counter[int]:
    """With which codes connections ended, by the server's log."""
    lines = [
        json.loads(line) for line in house.parley.log.read_text().splitlines() if line[:1] == "{"
    ]
    return Counter(line["code"] for line in lines if line.get("event") == "connection closed")


def resident(pid: int, what: str) -> int:
    """`VmRSS`, or `VmHWM`: the most that it ever was; in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(what)


async def until_sockets(house: House, count: int) -> None:
    """Until the server has let go of all sockets but so many."""
    async with asyncio.timeout(FREED_S):
        while (await asyncio.to_thread(get, house.url, "/health"))["sockets"] != count:
            pass


async def test_who_stops_reading_is_let_go_and_finds_everything_later(tmp_path: Path) -> None:
    """Half of them read a little now and then before they stop; the others are not held up."""
    async with house_in(tmp_path, **SETTINGS) as house:
        await house.start()
        audience = Audience(house)
        await audience.gather(answers=ANSWERS, slow=SLOW, others=READERS - SLOW - 1)
        before = resident(house.pid, "VmRSS")
        await audience.begin()
        for device in audience.slow:
            device.stop_reading()
        for tokens in (4, 6, 8):
            await audience.until(tokens)
            for device in audience.slow[::2]:
                device.read_on()
                await asyncio.sleep(0)
                device.stop_reading()
        await until_sockets(house, READERS - SLOW)
        await audience.until_ended(audience.others)
        assert closed(house) == {4004: SLOW}
        grown = resident(house.pid, "VmHWM") - before
        for device in audience.slow:
            device.read_on()
        await audience.until_ended(audience.slow)
        whole = [TOKEN * TOKENS]
        assert [d for d in audience.others if audience.texts(d) != whole] == []
        assert [d for d in audience.slow if audience.texts(d) != whole * ANSWERS] == []
        assert [device for device in audience.others if device.closes] == []
        for device in audience.slow:
            assert device.closes in ([4004], [1006])  # what was on its way may be lost with it
            device.closes.clear()
        assert await house.stop() == 0
        assert house.judged() == []
    tally.count(SLOW, said=f"of {READERS} stop reading, {grown / MIB:.0f} MiB more")
    # Each is sent 2.6 MB: without a bound of 1 MiB, the hundred of the long form exceed this.
    assert grown < SLOW * 1.25 * MIB + 16 * MIB


async def test_who_falls_behind_for_a_while_gets_bigger_chunks(tmp_path: Path) -> None:
    """On the same socket, and byte for byte what everybody gets."""
    async with house_in(tmp_path, **SETTINGS) as house:
        await house.start()
        audience = Audience(house)
        await audience.gather(answers=1, slow=1, others=1)
        [slow] = audience.slow
        slow.stop_reading()
        await audience.begin()
        await audience.until(TOKENS)
        slow.read_on()
        await audience.until_ended(audience.all)
        folded = [frame for frame in slow.heard if frame["type"] == "chunk" and "from" in frame]
        assert max(len(frame["text"]) for frame in folded) > 5 * len(TOKEN)
        assert (slow.closes, audience.texts(slow)) == ([], [TOKEN * TOKENS])
        assert await house.stop() == 0
        assert house.judged() == []


class Stage:
    """A person's long answers before light readers: some follow all of them, others the first."""

    def __init__(self, house: House) -> None:
        self._url, self._token = f"{house.url.replace('http', 'ws', 1)}/ws", token("ann")
        self._house = house
        self._conversations: list[str] = []
        self._ended = asyncio.Semaphore(0)

    async def open(self) -> None:
        """Somebody asks, in conversations in which something was said."""
        self._asker = await greeted(self._url, JSON, self._token)
        said = [await self._ask("first", number, script(TOKEN, 1)) for number in range(ANSWERS)]
        self._conversations = [json.loads(bytes(ack.conversation)) for ack in said]

    async def follow(self, count: int, *, all: bool) -> list[Peer]:
        """So many more readers."""
        frames = [{"conversation": name} for name in self._conversations]
        return [await self._come(frames if all else frames[:1], narrow=all) for _ in range(count)]

    async def act(self, name: str) -> None:
        """A long answer in each of the conversations, to the end."""
        long = script(TOKEN, TOKENS, every_ms=EVERY_MS)
        for number, conversation in enumerate(self._conversations):
            await self._ask(name, number, long, conversation=conversation)
        self._asker.on_frame = self._heard
        async with asyncio.timeout(PATIENCE_S):
            for _ in self._conversations:
                await self._ended.acquire()

    def _heard(self, payload: bytes) -> None:
        if self._asker.read(payload).type == "complete":
            self._ended.release()

    async def _ask(self, name: str, number: int, content: str, **where: str) -> Heard:
        chat = {"type": "chat", "id": f"{name}-{number}", "content": content, **where}
        return await asked(self._asker, chat, "ack")

    async def _come(self, attach: list[dict[str, str]], *, narrow: bool) -> Peer:
        peer = Peer(urlsplit(self._url), JSON)
        raw = await small(self._house.url, RECEIVE_BUFFER) if narrow else None
        where = {"sock": raw} if raw else {"host": "127.0.0.1", "port": urlsplit(self._url).port}
        await asyncio.get_running_loop().create_connection(lambda: peer, **where)
        await peer.opened
        await asked(peer, hello(self._token, *attach), "attached")
        return peer


@pytest.mark.long
async def test_who_reads_is_not_slowed_by_those_who_stop(
    tmp_path: Path,
) -> None:
    """The same load, by turns with all reading and with some stopped until they are let go."""
    # An act takes nearly as long as either would wait for who reads nothing.
    patient = {"PARLEY_SOCKET_HEARTBEAT_S": "300", "PARLEY_NET_USER_TIMEOUT_S": "300"}
    async with house_in(tmp_path, **SETTINGS, **patient) as house:
        await house.start()
        stage = Stage(house)
        await stage.open()
        others = await stage.follow(READERS - SLOW - ONLOOKERS - 1, all=False)
        credentials = [token(f"onlooker {n}") for n in range(ONLOOKERS)]
        url = f"{house.url.replace('http', 'ws', 1)}/ws"
        async with onlookers(url, house.pid, credentials, every_ms=20) as looking:
            for pair in range(PAIRS):
                slow = await stage.follow(SLOW, all=True)
                await looking.begin(f"all read {pair}")
                await stage.act(f"read-{pair}")
                await looking.begin(f"some stop {pair}")
                for peer in slow:
                    peer.stop_reading()
                await stage.act(f"stop-{pair}")
                await looking.begin("between")
                await until_sockets(house, READERS - SLOW)
                assert closed(house) == {4004: SLOW * (pair + 1)}
                for peer in slow:
                    peer.abort()
            report = await looking.end()
        assert [peer for peer in others if peer.closed_with is not None] == []
        assert await house.stop() == 0
    assert report.errors == {}
    p99 = [
        [report.stretches[f"{name} {pair}"].late_p99_ms for name in ("all read", "some stop")]
        for pair in range(PAIRS)
    ]
    tally.count(SLOW * PAIRS, said=f"the others' p99 in ms, all read and some stop: {p99}")
    assert median(stop / read for read, stop in p99) <= SLOWER
