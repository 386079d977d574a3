"""Damaged frames and damaged framing, over raw sockets, by the thousand."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from protocol.codec import JSON, MSGPACK, Codec
from protocol.codes import CloseCode, ErrorCode
from tests.support.frames import Mutator
from tests.support.healthy import healthy
from tests.support.hostile.peer import Ended, Peer
from tests.support.hostile.server import Server, serving
from tests.support.lateness import within
from tests.support.rawsocket import BINARY, TEXT, masked
from tests.support.vectors import Message

SHORT = 1000
LONG = 20_000
AT_ONCE = 3
BATCH = 20  # messages between two looks whether the server still answers
FLIPPED = 0.05  # of the messages have a head that is damaged as well
PROMPT_S = 0.1
LISTED = {int(code) for code in CloseCode} - {CloseCode.INTERNAL_ERROR}
ANSWERED = {code.value for code in ErrorCode} - {ErrorCode.INTERNAL.value}


class Attacker:
    """Sends what a seed says, and comes back whenever it was closed."""

    def __init__(self, server: Server, seed: int) -> None:
        self.sent = 0
        self.closed = Counter[int]()
        self._server = server
        self._mutator = Mutator(seed, "client")
        self._random = random.Random(seed)
        self._fence = 0

    async def run(self, count: int) -> None:
        """Send so many messages."""
        waiting: dict[Codec, list[Message]] = {JSON: [], MSGPACK: []}
        while self.sent < count:
            codec, message = self._mutator.next()
            waiting[codec].append(message)
            if len(waiting[codec]) == BATCH:
                await self._send(codec, waiting.pop(codec))
                waiting[codec] = []

    async def _send(self, codec: Codec, messages: list[Message]) -> None:
        """On new sockets whenever one was closed."""
        while messages:
            async with await Peer.connect(self._server.port, codec) as peer:
                await peer.hello(self._server.person().token)
                try:
                    while messages:
                        framed = self._framed(codec, messages.pop())
                        self.sent += 1
                        if self._random.random() < FLIPPED:
                            await self._flipped(peer, framed)
                            break
                        await peer.raw.send(framed)
                        await self._answers(peer)
                except Ended as ended:
                    self.closed[ended.code] += 1
                except ConnectionError:
                    self.closed[await peer.ending()] += 1

    def _framed(self, codec: Codec, message: Message) -> bytes:
        raw = message.encode(errors="surrogatepass") if isinstance(message, str) else message
        return masked(BINARY if codec.binary else TEXT, raw)

    async def _flipped(self, peer: Peer, framed: bytes) -> None:
        """With a bit of its head flipped, and nothing behind it."""
        flipped = bytearray(framed)
        flipped[self._random.randrange(min(len(framed), 8))] ^= 1 << self._random.randrange(8)
        await peer.raw.send(bytes(flipped))
        peer.raw.stop_sending()
        raise Ended(await peer.ending())

    async def _answers(self, peer: Peer) -> None:
        """It still answers a ping."""
        self._fence += 1
        await peer.say({"type": "ping", "id": f"fence-{self._fence}"})
        while (frame := await peer.frame()).get("id") != f"fence-{self._fence}":
            assert frame["type"] != "error" or frame["code"] in ANSWERED, frame


async def attack(server: Server, count: int) -> list[Attacker]:
    """From several sides."""
    attackers = [Attacker(server, seed) for seed in range(AT_ONCE)]
    await asyncio.gather(*[attacker.run(count // AT_ONCE) for attacker in attackers])
    return attackers


def check(folder: Path, count: int) -> None:
    """The server answers or closes, and a healthy client notices nothing."""
    with serving("usual", folder, PARLEY_LIMITS_MESSAGES_PER_MINUTE="1000000") as server:
        with healthy(server.port, server.person("healthy").token, server.pid) as client:
            attackers = asyncio.run(attack(server, count))
            report = client.end()
        log = server.parley.log.read_text()
    assert sum(attacker.sent for attacker in attackers) >= count - AT_ONCE
    codes = sum((attacker.closed for attacker in attackers), Counter[int]())
    assert codes
    assert codes.keys() <= LISTED
    assert '"level":"error"' not in log
    assert report.outcome == "complete"
    within(max(pong.own_s for pong in report.worst), PROMPT_S, "a pong")


def test_a_thousand_damaged_frames(tmp_path: Path) -> None:
    """The same in every run."""
    check(tmp_path, SHORT)


@pytest.mark.long
def test_twenty_thousand_damaged_frames(tmp_path: Path) -> None:
    """The long form."""
    check(tmp_path, LONG)
