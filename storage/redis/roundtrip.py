"""Whether the way there and back is open: a word is said, and heard by who said it."""

import asyncio
import secrets

from storage.errors import Unavailable
from storage.redis.ears import Hearing
from storage.redis.link import Link
from storage.redis.scripts import Script

WITHIN_S = 2.0
SAY = Script("say")


class RoundTrip:
    """One instance's round trips through Redis."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel = link.names.of("probe", secrets.token_hex(8))
        self._hearing: Hearing | None = None
        self._awaited: dict[bytes, asyncio.Event] = {}

    async def ask(self) -> None:
        """Say a word and hear it; `Unavailable` if it does not come."""
        if self._hearing is None:
            self._hearing = self._link.ears.hear(self._channel, self._hear)
        word, heard = secrets.token_bytes(8), asyncio.Event()
        self._awaited[word] = heard
        try:
            await self._hearing.sure(WITHIN_S)
            await self._link.call(SAY, [self._channel], [self._link.publish, word])
            async with asyncio.timeout(WITHIN_S):
                await heard.wait()
        except TimeoutError:
            self._hearing.again()
            raise Unavailable("what was said through Redis was not heard") from None
        finally:
            del self._awaited[word]

    def _hear(self, word: bytes | None) -> None:
        heard = self._awaited.get(word or b"")
        if heard is not None:
            heard.set()
