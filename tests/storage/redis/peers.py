"""A Redis' end of lines that listen, in the test's hand."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from storage.errors import Unavailable

Answer: TypeAlias = list[Any] | Exception


class Peer(AbstractConnection):
    """One connection: it notes what it is told, and answers as Redis does, at once or later."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.closed = False
        self.holds = False  # its answers, until `release`
        self.mute = False  # it answers nothing any more
        self.full = False  # it takes nothing any more
        self.pings = 0
        self.pong: Answer = [b"pong", b""]
        self._held: list[Answer] = []
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()

    async def send_command(self, *words: Any, **_: Any) -> None:
        if self.full:
            await asyncio.Event().wait()
        verb, *names = words
        if verb == "PING":
            self.pings += 1
            self._answer(self.pong)
            return
        self.told.append((verb, *[name.decode() for name in names]))
        for name in names:
            self._answer([verb.lower().encode(), name, 0])

    async def read_response(self, *_: Any, **__: Any) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def disconnect(self, *_: Any, **__: Any) -> None:
        self.closed = True

    def push(self, *answer: bytes) -> None:
        """Say something unasked."""
        self._answers.put_nowait([*answer])

    def cut(self) -> None:
        """The connection is lost."""
        self._answers.put_nowait(ConnectionResetError())

    def refuse(self, why: str) -> None:
        """Answer with an error."""
        self._answers.put_nowait(ResponseError(why))

    def release(self, answers: int | None = None) -> None:
        """Give the oldest answers that were held, or all and every later one at once."""
        if answers is None:
            self.holds = False
        held, self._held = self._held[:answers], [] if answers is None else self._held[answers:]
        for answer in held:
            self._answers.put_nowait(answer)

    def _answer(self, answer: Answer) -> None:
        if self.holds:
            self._held.append(answer)
        elif not self.mute:
            self._answers.put_nowait(answer)

    # What an abstract connection demands beside that.

    def repr_pieces(self) -> list[Any]:
        return []

    async def _connect(self) -> None: ...

    def _host_error(self) -> str:
        return "a peer"

    def __del__(self, _: Any = None) -> None: ...


class Peers:
    """A server that is there or not, and its connections."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        self.made: list[Peer] = []
        self.holds = False  # connections made from now on hold their answers

    async def connect(self) -> AbstractConnection:
        self.tries += 1
        if self.away:
            raise Unavailable("away")
        self.made.append(Peer())
        self.made[-1].holds = self.holds
        return self.made[-1]

    @property
    def now(self) -> Peer:
        """The latest connection."""
        return self.made[-1]


class Receiver:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.heard: list[bytes | None] = []

    def __call__(self, message: bytes | None) -> None:
        self.heard.append(message)


def told(peers: Sequence[Peer]) -> list[tuple[str, ...]]:
    """All that these were told."""
    return [words for peer in peers for words in peer.told]
