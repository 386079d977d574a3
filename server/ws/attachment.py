"""One socket as a follower of one conversation: what comes of it, and when."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import structs

from protocol.codec import Unknown
from protocol.frames import from_server as s
from protocol.text import utf16_length, utf16_slice
from server.streams.entry import Shared
from server.ws.outbox import Outbox


class Socket(Protocol):
    """Whose it is."""

    outbox: Outbox

    def is_sending(self, conversation: str) -> bool:
        """Whether an `ack` of that conversation has yet to go out."""

    def lost(self, attachment: "Attachment") -> None:
        """Its position is gone."""


class Attachment:
    """One socket as a follower of one conversation."""

    __slots__ = (
        "_held",
        "_holding",
        "_lengths",
        "_over",
        "_socket",
        "_stored",
        "conversation",
    )

    def __init__(
        self,
        socket: Socket,
        conversation: str,
        lengths: dict[str, int],
        stored: dict[str, int] | None,
    ) -> None:
        self.conversation = conversation
        self._socket = socket
        # Of answers whose text a snapshot showed and whose next chunk has not come yet.
        self._lengths = lengths
        # What SQL had by its position of answers whose next chunk has not come yet; None: it begins
        # with a snapshot.
        self._stored = stored
        self._over = False
        # What is being sent may stand below where this begins: nothing at all may pass.
        self._holding = socket.is_sending(conversation)
        self._held: list[Shared] = []

    def release(self) -> None:
        """The `ack` is out: hand on what was kept back."""
        self._holding = False
        if self._held:
            held, self._held = self._held, []
            self.take(held, live=True)

    def take(self, entries: Sequence[Shared], *, live: bool) -> None:
        """Send what comes; see `server.streams.channel.Follower`."""
        if self._over or self._is_unsure_of(entries):
            return
        outbox = self._socket.outbox
        if self._holding or self._socket.is_sending(self.conversation):
            entries = self._keep_back(entries)
        if live and not self._lengths:
            outbox.share(entries)
        else:
            outbox.missed([self._cut(entry) for entry in entries])

    def _is_unsure_of(self, entries: Sequence[Shared]) -> bool:
        """Whether text comes of which the client may have a part: then it gets a snapshot.

        One that came with a position was shown a snapshot before, perhaps, and nobody knows how
        much of an answer that had; it matters where SQL has text before the log.
        """
        if self._stored is None:
            return False
        for entry in entries:
            if entry.repeats or (self._stored and self._overlaps(entry.frame())):
                self._over = True
                self.lose()
                return True
        return False

    def _overlaps(self, frame: s.Logged | Unknown) -> bool:
        assert self._stored is not None
        return isinstance(frame, s.Chunk) and frame.offset < self._stored.pop(frame.answer, 0)

    def _keep_back(self, entries: Sequence[Shared]) -> Sequence[Shared]:
        """What may pass: all up to the next message, which may be the one that is being sent."""
        passing = 0
        if not self._holding:
            kinds = (type(entry.frame()) for entry in entries)
            passing = next(
                (n for n, kind in enumerate(kinds) if kind is s.MessageMade), len(entries)
            )
        self._held += entries[passing:]
        self._holding = bool(self._held)
        return entries[:passing]

    def lose(self) -> None:
        """The position is gone."""
        self._socket.lost(self)

    def tell(self, frame: s.ServerFrame) -> None:
        """Pass on what is beside the log."""
        self._socket.outbox.send(frame)

    def _cut(self, entry: Shared) -> s.Text | Shared:
        """A chunk without what the snapshot showed: a new epoch tells some of it again.

        It stays a frame, be it an empty one, for its place in the log counts.
        """
        frame = entry.frame()
        if isinstance(frame, s.Reset | s.Complete):
            self._lengths.pop(frame.answer, None)
        if not isinstance(frame, s.Chunk) or frame.answer not in self._lengths:
            return entry.foldable()
        have = self._lengths[frame.answer]
        end = frame.offset + utf16_length(frame.text)
        if end >= have:
            del self._lengths[frame.answer]
        if frame.offset >= have:
            return frame
        text = (
            utf16_slice(frame.text, have - frame.offset, end - frame.offset) if end > have else ""
        )
        return structs.replace(frame, offset=have, text=text or "")
