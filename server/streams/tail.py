"""What one answer has told its log, and what of it SQL has yet to store (pure)."""

from collections import deque

from protocol.text import utf16_length, utf16_slice


class Told:
    """Text that stands in the log, from the last checkpoint on; offsets are UTF-16 units."""

    def __init__(self, start: int) -> None:
        self.end = start
        self._start = start
        self._pieces: deque[tuple[int, str]] = deque()  # where each ends

    def add(self, text: str) -> None:
        """It was appended behind the rest."""
        self.end += utf16_length(text)
        self._pieces.append((self.end, text))

    def unsaved(self) -> tuple[int, str]:
        """Where the unsaved text begins, and the text."""
        return self._start, "".join(text for _, text in self._pieces)

    def saved(self, length: int) -> None:
        """SQL has it up to there."""
        while self._pieces and self._pieces[0][0] <= length:
            self._start, _ = self._pieces.popleft()
        if self._pieces and length > self._start:
            end, text = self._pieces.popleft()
            rest = utf16_slice(text, length - self._start, end - self._start)
            assert rest is not None, "SQL ends between code points"
            self._pieces.appendleft((end, rest))
            self._start = length

    def restart(self, start: int = 0) -> None:
        """Another attempt, or another epoch: what was told before does not count."""
        self.end = self._start = start
        self._pieces.clear()
