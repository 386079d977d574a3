"""Words to and from a person."""

import asyncio
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from server.cli.terminal import PASTE_BEGINS, PASTE_ENDS, Lines, entries, safe
from tests.server.cli.screens import Screens

PATIENCE_S = 10.0


def test_a_terminal_obeys_nothing_of_what_is_said() -> None:
    """Sequences, overprints and turned directions are shown or dropped; text stays as it is."""
    assert safe("a\x1b[2Jb\x07\x7f\x9b") == "a␛[2Jb␇␡\ufffd"
    assert safe("a\r\nb\tc\rd") == "a\nb\tcd"
    assert safe("\u202eevil\u2066\U000e0041") == "\ufffdevil\ufffd\ufffd"
    assert safe("häß 日本 👩‍👩‍👧") == "häß 日本 👩‍👩‍👧"


def test_answers_and_words_about_them_have_a_stream_each() -> None:
    """A word does not end the answer's line where they are not one screen."""
    screens = Screens()
    screens.terminal.text("Hel")
    screens.terminal.note("cut")
    screens.terminal.text("lo")
    screens.terminal.end_line()
    screens.terminal.end_line()
    assert (screens.out, screens.err) == ("Hello\n", "cut\n")


def test_on_one_screen_each_word_begins_a_line() -> None:
    """One, however many words come."""
    screens = Screens(typed=True, shared=True)
    screens.terminal.text("Hel")
    screens.terminal.note("cut")
    screens.terminal.note("back")
    screens.terminal.text("lo")
    screens.terminal.end_line()
    screens.terminal.ask("> ")
    screens.terminal.note("word")
    screens.terminal.ask("> ")
    screens.terminal.entered()
    screens.terminal.text("x")
    assert screens.out == "Hel\ncut\nback\nlo\n> \nword\n> x"


def test_nobody_is_asked_where_nobody_sits() -> None:
    """A pipe does not read prompts."""
    screens = Screens(asks=False)
    screens.terminal.ask("> ")
    assert screens.err == ""


def test_an_entry_is_a_line_or_a_paste() -> None:
    """However it comes in pieces."""
    assert entries("one\r\ntwo\nthr") == (["one", "two"], "thr")
    paste = f"a{PASTE_BEGINS}b\nc{PASTE_ENDS}d\n"
    assert entries(paste) == (["ab\ncd"], "")
    for cut in range(1, len(paste)):
        whole, rest = entries(paste[:cut])
        assert (whole, rest) == ([], paste[:cut])


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: the person's and ours."""
    person, ours = pty.openpty()
    yield person, ours
    os.close(person)
    os.close(ours)


async def test_a_terminal_is_left_as_it_was(keyboard: tuple[int, int]) -> None:
    """While lines are read it marks what is pasted."""
    person, ours = keyboard
    before = termios.tcgetattr(ours)
    told = asyncio.Event()
    screens = Screens()
    with os.fdopen(ours, closefd=False) as stdin:
        with Lines(stdin, screens.terminal, told=told.set) as lines:
            assert lines.typed
            assert lines.next() is None
            os.write(person, "häß\n".encode())
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
            assert (lines.ready, lines.next(), lines.ready) == (True, "häß", False)
            os.write(person, b"\x04")
            told.clear()
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
            assert (lines.ended, lines.next()) == (True, None)
        assert termios.tcgetattr(ours) == before
    assert screens.err == "\x1b[?2004h\x1b[?2004l"


async def test_a_pipe_ends_with_what_has_no_newline() -> None:
    """And half a letter at its end is shown as one."""
    read, write = os.pipe()
    os.write(write, b"one\ntw\xc3")
    os.close(write)
    told = asyncio.Event()
    with os.fdopen(read) as stdin:
        lines = Lines(stdin, Screens().terminal, told=told.set)
        with lines:
            async with asyncio.timeout(PATIENCE_S):
                while not lines.ended:
                    told.clear()
                    await told.wait()
    assert [lines.next(), lines.next(), lines.next()] == ["one", "tw\ufffd", None]
