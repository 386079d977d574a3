"""Words between instances over Redis."""

import asyncio
import secrets
from collections import deque

from storage.bus import Ear
from storage.errors import Unavailable
from storage.redis.ears import Ears
from storage.redis.link import Link
from storage.redis.names import bucket
from storage.redis.roundtrip import SAY

NAME_BYTES = 8
WAITING = 10_000  # words; while Redis is away, older ones are not worth keeping
AT_ONCE = 500


class RedisBus:
    """See `storage.bus.Bus`; `run` must be running meanwhile."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name = secrets.token_bytes(NAME_BYTES)
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING)
        self._wake = asyncio.Event()

    def listen(self, topic: str, ear: Ear) -> "EarAt":
        """See `Bus.listen`."""
        return EarAt(self._link.ears, self._link.names.of("word", topic), self._name, ear)

    def say(self, topic: str, word: bytes) -> None:
        """See `Bus.say`."""
        self._waiting.append((topic, self._name + word))
        self._wake.set()

    async def run(self) -> None:
        """Carry words until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            words = list(self._waiting)
            self._waiting.clear()
            for page in self._pages(words):
                await self._carry(page)

    def _pages(self, words: list[tuple[str, bytes]]) -> list[list[tuple[str, bytes]]]:
        groups: dict[int, list[tuple[str, bytes]]] = {}
        for topic, word in words:
            group = bucket(topic) if self._link.cluster else 0
            groups.setdefault(group, []).append((topic, word))
        return [
            group[begin : begin + AT_ONCE]
            for group in groups.values()
            for begin in range(0, len(group), AT_ONCE)
        ]

    async def _carry(self, page: list[tuple[str, bytes]]) -> None:
        channels = [self._link.names.of("word", topic) for topic, _ in page]
        try:
            await self._link.call(SAY, channels, [self._link.publish, *[word for _, word in page]])
        except Unavailable:
            return  # who missed it finds out in another way, later


class EarAt:
    """An ear hears in a turn of the loop of its own: if it raises, only the loop hears of that."""

    def __init__(self, ears: Ears, channel: str, own: bytes, ear: Ear) -> None:
        self._own = own
        self._ear: Ear | None = ear
        self._hearing = ears.hear(channel, self._receive)

    async def sure(self, within_s: float) -> None:
        """Wait until what is said from now on is heard; `Unavailable` if that takes too long."""
        await self._hearing.sure(within_s)

    def close(self) -> None:
        """See `Listening.close`."""
        self._ear = None
        self._hearing.close()

    def _receive(self, message: bytes | None) -> None:
        if message is not None and message[:NAME_BYTES] != self._own:
            asyncio.get_running_loop().call_soon(self._hear, message[NAME_BYTES:])

    def _hear(self, word: bytes) -> None:
        if self._ear is not None:
            self._ear(word)
