"""What waits for what among one socket's frames. Each is done in a task of its own.

What names a conversation waits for what named it before. `edit` and `regenerate` do not say which
one they concern, and `auth` changes whose frames these are: they wait for all before them, and all
behind wait for them.
"""

import asyncio
from collections.abc import Callable

from protocol.frames import from_client as c

_ALONE = (c.Auth, c.Edit, c.Regenerate)


class Turn:
    """One frame's place in the order: to be entered for what it does, and always left."""

    def __init__(self, frame: c.ClientFrame, left: Callable[["Turn"], None]) -> None:
        self.conversation: str | None = getattr(frame, "conversation", None)
        self.alone = isinstance(frame, _ALONE)
        self.done = asyncio.Event()
        self.behind: list[Turn] = []
        self._left = left

    def waits_for(self, other: "Turn") -> bool:
        """Whether it must come behind that earlier one."""
        if self.alone or other.alone:
            return True
        return self.conversation is not None and self.conversation == other.conversation

    async def __aenter__(self) -> None:
        try:
            while self.behind:
                await self.behind.pop().done.wait()
        except BaseException:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.done.set()
        self._left(self)


class Order:
    """The frames of one socket that are not done yet; the machine bounds how many those can be."""

    def __init__(self) -> None:
        self._turns: dict[Turn, None] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def turn(self, frame: c.ClientFrame) -> Turn:
        """The place of a frame, to be taken as it comes."""
        turn = Turn(frame, self._turns.pop)
        turn.behind = [other for other in self._turns if turn.waits_for(other)]
        self._turns[turn] = None
        return turn
