"""What this instance knows of one conversation's log."""

import asyncio

from protocol.types import Position
from server.streams.channel import Channel
from server.streams.writer import Writer


class Stream:
    """A conversation's log as seen from here; forgotten when nobody here has to do with it."""

    __slots__ = (
        "channel",
        "conversation",
        "highest",
        "position",
        "sure",
        "telling",
        "tenant",
        "told",
        "writers",
    )

    def __init__(self, tenant: str, conversation: str) -> None:
        self.tenant = tenant
        self.conversation = conversation
        self.position: Position | None = None  # the highest seen; None: nothing is known
        self.told: int | None = None  # this epoch has the commits up to this number
        self.sure = 0  # and up to this one it is known that they are those that SQL has
        self.highest = 0  # the highest commit number heard of
        self.telling = asyncio.Lock()
        self.writers: dict[str, Writer] = {}
        self.channel: Channel | None = None

    @property
    def in_use(self) -> bool:
        """Whether something here still leans on it."""
        return bool(self.writers or self.channel or self.telling.locked())

    def seen(self, position: Position) -> None:
        """The log stands there, or did."""
        if self.position is None or self.position.epoch != position.epoch:
            self.position, self.told, self.sure = position, None, 0
        elif position.seq > self.position.seq:
            self.position = position

    def advanced(self, position: Position) -> None:
        """The same, of one who may not have heard yet that the epoch is over."""
        if self.position is None or self.position.epoch == position.epoch:
            self.seen(position)

    def has_rows(self, epoch: str, number: int) -> None:
        """That epoch has the commits up to this number, or need not tell them."""
        if self.position is not None and self.position.epoch == epoch:
            self.told = max(number, self.told or 0)

    def doubt(self) -> None:
        """SQL may have gone back, and the numbers of its commits with it."""
        self.told, self.sure, self.highest = None, 0, 0
