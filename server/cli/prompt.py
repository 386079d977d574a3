"""What can be typed at the prompt of `parley chat`."""

import re
from collections.abc import Callable
from typing import TextIO

from protocol.frames.from_client import VISIBLE
from server.cli.link import Link
from server.cli.talk import Talk
from server.cli.terminal import Lines, Terminal

HELP = """\
/stop        stop the answer that runs (so does Ctrl-C)
/regenerate  another answer to the last message
/edit TEXT   say TEXT in the place of the last message
/history     what was said
/new         another conversation
/quit        leave (so do Ctrl-C and Ctrl-D)
What begins with a blank is sent as it is."""


class Prompt:
    """Entries, and what each does."""

    def __init__(self, talk: Talk, terminal: Terminal) -> None:
        self._talk = talk
        self._terminal = terminal
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: terminal.note(HELP),
            "/stop": self._stop,
            "/regenerate": self._regenerate,
            "/edit": self._edit,
            "/history": lambda _: talk.show_history(),
            "/new": self._new,
        }

    async def converse(self, link: Link, stdin: TextIO) -> None:
        """Entry by entry; where they come from a file, each waits for the answer before it."""
        talk = self._talk
        with Lines(stdin, self._terminal, told=link.look) as lines:
            talk.prompt()
            while (entry := await self._next(link, lines)) is not None:
                self._terminal.entered()
                if entry.strip() == "/quit":
                    return
                self.enter(entry)
                talk.prompt()
                if not lines.typed:
                    await self._turn(link)
        await self._turn(link)
        if talk.calls:
            self._terminal.note(f"Its decision waits for you: {talk.here}")

    async def _next(self, link: Link, lines: Lines) -> str | None:
        await link.until(lambda: lines.ready or self._talk.broken is not None)
        self._talk.check()
        return lines.next()

    async def _turn(self, link: Link) -> None:
        """Wait until it is the person's turn."""
        talk = self._talk
        await link.until(lambda: talk.idle or bool(talk.calls) or talk.broken is not None)
        talk.check()

    def enter(self, entry: str) -> None:
        """Do what an entry says."""
        command, _, rest = entry.partition(" ")
        if command in self._commands:
            self._commands[command](rest)
        elif re.fullmatch("/[a-z]+", entry):
            self._terminal.note(f"There is no {entry}; /help lists what there is.")
        elif self._talk.calls:
            # Only a plain word decides; after anything else the question comes again.
            word = entry.strip().lower()
            if word in ("y", "yes", "n", "no"):
                self._talk.decide(allow=word.startswith("y"))
        elif re.search(VISIBLE, entry):
            self._talk.say(entry)

    def _stop(self, _: str) -> None:
        if not self._talk.stop():
            self._terminal.note("Nothing runs.")

    def _regenerate(self, _: str) -> None:
        if self._is_free():
            self._talk.regenerate()

    def _edit(self, content: str) -> None:
        if not re.search(VISIBLE, content):
            self._terminal.note("Say what the message is to be: /edit TEXT")
        elif self._is_free():
            self._talk.edit(content)

    def _new(self, _: str) -> None:
        if self._is_free():
            self._talk.leave()

    def _is_free(self) -> bool:
        if not self._talk.idle:
            self._terminal.note("An answer runs; wait for it, or /stop it.")
        return self._talk.idle
