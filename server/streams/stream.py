"""What this instance knows of one conversation's log."""

import asyncio
from collections.abc import Sequence

from protocol.types import Position
from server.streams.channel import Channel
from server.streams.writer import Writer
from storage.records import Commit, Ended


class Stream:
    """A conversation's log as seen from here; forgotten when nobody here has to do with it."""

    __slots__ = (
        "channel",
        "conversation",
        "highest",
        "position",
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
            self.position, self.told = position, None
        elif position.seq > self.position.seq:
            self.position = position

    def advanced(self, position: Position) -> None:
        """The same, of one who may not have heard yet that the epoch is over."""
        if self.position is None or self.position.epoch == position.epoch:
            self.seen(position)

    def lacks_text_before(self, commits: Sequence[Commit]) -> bool:
        """Whether one of these ends an answer whose text was told in an epoch before this one.

        Who came to this epoch was shown a part of it, and would never get the rest.
        """
        ends = (each for each in commits if self.told is None or each.number > self.told)
        writers = (self.writers.get(e.row.answer) for e in ends if isinstance(e.row, Ended))
        epoch = self.position.epoch if self.position else None
        return any(writer is not None and writer.position.epoch != epoch for writer in writers)
