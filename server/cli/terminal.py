"""Words to and from a person: what a model says is data, and never commands to a terminal."""

import asyncio
import codecs
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TextIO

try:
    import termios
except ImportError:  # not on Unix: lines are read as they come
    termios = None  # type: ignore[assignment]

_PICTURES = 0x2400  # the Unicode block that shows C0 controls instead of obeying them
_REPLACEMENT = 0xFFFD
# By single characters, so it does not matter how a sequence is cut into chunks. Those that only
# reorder what is shown count too: a terminal obeys them as it does an escape sequence.
_SAFE: dict[int, int | None] = {
    **{code: _PICTURES + code for code in range(0x20) if chr(code) not in "\n\t\r"},
    ord("\r"): None,  # of "\r\n"; alone it would let a line overwrite itself
    0x7F: _PICTURES + 0x21,
    **dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], _REPLACEMENT),
    **dict.fromkeys(range(0xE0000, 0xE0080), _REPLACEMENT),
}


def safe(text: str) -> str:
    """The text with every character replaced that a terminal would obey instead of show."""
    return text.translate(_SAFE)


class Terminal:
    """Answers go to `out`, words about them to `err`; dim ones only where a person sees them."""

    def __init__(
        self, out: TextIO, err: TextIO, environ: Mapping[str, str], *, asks: bool = True
    ) -> None:
        self._out = out
        self._err = err
        self._asks = asks  # whether somebody sits there who can be asked
        self._dims = err.isatty() and "NO_COLOR" not in environ and environ.get("TERM") != "dumb"
        self._shared = out.isatty() and err.isatty()
        self._open_line = False  # whether `out` stands behind a text without its newline
        self._midline = False  # whether the screen does
        self._prompted = False  # whether it stands behind a question

    def text(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        if text:
            if self._prompted:
                self._break()
            self._out.write(safe(text))
            self._out.flush()
            self._open_line = not text.endswith("\n")
            self._midline = self._shared and self._open_line

    def end_line(self) -> None:
        """What comes next begins a line."""
        if self._open_line:
            self.text("\n")

    def note(self, words: str) -> None:
        """A word about what happens, on a line of its own."""
        if self._prompted or self._midline:
            self._break()
        line = safe(words)
        self._err.write(f"\x1b[2m{line}\x1b[0m\n" if self._dims else f"{line}\n")
        self._err.flush()

    def ask(self, words: str) -> None:
        """A question or a prompt, whose answer stands behind it."""
        if not self._asks:
            return
        if self._prompted:
            self._break()
        self.end_line()
        self._err.write(safe(words))
        self._err.flush()
        self._prompted = True

    def entered(self) -> None:
        """The question has its answer, whose newline the screen has too."""
        self._prompted = False

    def mark_pastes(self, wanted: bool) -> None:
        """Have the terminal say what is pasted and what is typed."""
        self._err.write("\x1b[?2004h" if wanted else "\x1b[?2004l")
        self._err.flush()

    def _break(self) -> None:
        """Begin a line on the screen only: it is not of the answer."""
        self._err.write("\n")
        self._err.flush()
        self._prompted = self._midline = False


PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"


class Lines:
    """What a person types, an entry at a time; a paste of many lines is one entry.

    A thread reads, so that nothing else waits for it, and straight from the descriptor: one that
    held a lock of `sys.stdin` could not be left behind at exit.
    """

    def __init__(
        self, stream: TextIO, screen: Terminal, *, told: Callable[[], None] = lambda: None
    ) -> None:
        """`told` is called, in the loop, for each entry and at the end."""
        self.ended = False
        self._descriptor = stream.fileno()
        self.typed = stream.isatty()
        self._screen = screen
        self._told = told
        self._entries: deque[str] = deque()
        self._modes: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        # The terminal then marks what is pasted. Its marks are echoed as they are, which shows
        # nothing, instead of as `^[[200~`.
        if self.typed and termios is not None:
            self._modes = termios.tcgetattr(self._descriptor)
            modes = termios.tcgetattr(self._descriptor)
            modes[3] &= ~termios.ECHOCTL
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)
            self._screen.mark_pastes(True)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._modes is not None:
            self._screen.mark_pastes(False)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)

    @property
    def ready(self) -> bool:
        """Whether `next` would not be early."""
        return self.ended or bool(self._entries)

    def next(self) -> str | None:
        """The next entry, without its newline; None if there is none."""
        return self._entries.popleft() if self._entries else None

    def _take(self, whole: list[str], ended: bool) -> None:
        self._entries += whole
        self.ended = ended
        self._told()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        buffer = ""
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # the terminal is gone
                data = b""
            buffer += decoder.decode(data, final=not data)
            whole, buffer = entries(buffer)
            if not data and buffer:
                whole.append(buffer)
            try:
                loop.call_soon_threadsafe(self._take, whole, not data)
            except RuntimeError:  # the loop is closed: nobody listens any more
                return
            if not data:
                return


def entries(buffer: str) -> tuple[list[str], str]:
    """The whole entries that a buffer begins with, and the rest; a paste hides its newlines."""
    whole: list[str] = []
    while True:
        end = _end_of_entry(buffer)
        if end is None:
            return whole, buffer
        entry = buffer[:end].replace(PASTE_BEGINS, "").replace(PASTE_ENDS, "")
        whole.append(entry.removesuffix("\r"))
        buffer = buffer[end + 1 :]


def _end_of_entry(buffer: str) -> int | None:
    start = 0
    while True:
        newline = buffer.find("\n", start)
        paste = buffer.find(PASTE_BEGINS, start)
        if newline < 0:
            return None
        if paste < 0 or newline < paste:
            return newline
        closed = buffer.find(PASTE_ENDS, paste)
        if closed < 0:
            return None
        start = closed
