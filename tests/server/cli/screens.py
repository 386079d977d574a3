"""Screens that keep what is written, and a conversation at a peer."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from server.cli.link import Link
from server.cli.talk import Talk
from server.cli.terminal import Terminal
from tests.support.peer import PATIENCE_S, Peer


class Screen(io.StringIO):
    """A terminal, or a file."""

    def __init__(self, *, typed: bool = False) -> None:
        super().__init__()
        self._typed = typed

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._typed


class Screens:
    """What stands on standard output and standard error; both may be one terminal."""

    def __init__(self, *, typed: bool = False, shared: bool = False, asks: bool = True) -> None:
        self._out = Screen(typed=typed)
        self._err = self._out if shared else Screen(typed=typed)
        self.terminal = Terminal(self._out, self._err, {"NO_COLOR": "1"}, asks=asks)

    @property
    def out(self) -> str:
        """The answers."""
        return self._out.getvalue()

    @property
    def err(self) -> str:
        """The words about them."""
        return self._err.getvalue()


class Chatting:
    """A person's end of a conversation, whose other end is a peer."""

    def __init__(self, peer: Peer, conversation: str | None = None) -> None:
        self.screens = Screens()
        numbers = iter(range(1000))
        self.talk = Talk(
            self.screens.terminal,
            conversation=conversation,
            prompts=True,
            ids=lambda: f"r-{next(numbers)}",
        )
        self.link = Link(peer.socket, on_news=self.talk.hear, chance=lambda: 0.0)
        self.talk.link = self.link

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait, but not for ever."""
        async with asyncio.timeout(PATIENCE_S):
            await self.link.until(lambda: bool(condition()))

    async def shown(self, words: str) -> None:
        """Wait until the person reads this."""
        screens = self.screens
        await self.until(lambda: words in screens.out or words in screens.err)

    @classmethod
    @asynccontextmanager
    async def at(cls, peer: Peer, conversation: str | None = None) -> AsyncIterator[Self]:
        """For the block."""
        chatting = cls(peer, conversation)
        async with chatting.link:
            yield chatting
