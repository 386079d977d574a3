"""What one answer has told its log, and what of it SQL has yet to store (pure)."""

from collections import deque

from protocol.text import utf16_length
from server.streams.pieces import behind


class Told:
    """Text that stands in the log, from the last checkpoint on; offsets are UTF-16 units.

    SQL may have more than the log: what was stored while the log was away, or before its epoch.
    """

    def __init__(self, start: int) -> None:
        self.end = start
        self.stored = start  # as far as SQL is known to have it
        self._pieces: deque[tuple[int, str]] = deque()  # where each ends

    def add(self, text: str) -> None:
        """It was appended behind the rest."""
        begin = self.end
        self.end += utf16_length(text)
        if self.end > self.stored:
            self._pieces.append((self.end, behind(text, self.stored - begin)))

    def unsaved(self) -> tuple[int, str]:
        """Where the unsaved text begins, and the text."""
        return self.stored, "".join(text for _, text in self._pieces)

    def saved(self, length: int) -> None:
        """SQL has it up to there."""
        begin, self.stored = self.stored, max(self.stored, length)
        while self._pieces and self._pieces[0][0] <= self.stored:
            begin, _ = self._pieces.popleft()
        if self._pieces:
            end, text = self._pieces.popleft()
            self._pieces.appendleft((end, behind(text, self.stored - begin)))

    def restart(self, end: int = 0, stored: int = 0) -> None:
        """Another attempt, or another epoch: what was told before does not count."""
        self.end, self.stored = end, stored
        self._pieces.clear()
