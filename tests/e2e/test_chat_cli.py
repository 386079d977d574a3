"""`parley chat` as a person calls it, against `parley serve` as a person starts it."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from server.cli.serving import recorded
from tests.support.parley import Parley, environment
from tests.support.services import free_port

PATIENCE_S = 20.0
SLOW = '{"tokens": 2000, "text": "word ", "every_ms": 10}'
QUICK = '{"tokens": 3, "text": "fine "}'


class Said:
    """What came from a descriptor so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def until(self, words: str, times: int = 1) -> str:
        """Read on until this came so often; all that came."""
        deadline = monotonic() + PATIENCE_S
        while self.text.count(words) < times:
            ready, _, _ = select.select([self._descriptor], [], [], deadline - monotonic())
            assert ready, f"{words!r} did not come: {self.text!r}"
            data = self._read()
            assert data, f"it ended without {words!r}: {self.text!r}"
            self.text += data
        return self.text

    def rest(self) -> str:
        """Read to the end; all that came."""
        while data := self._read():
            self.text += data
        return self.text

    def _read(self) -> str:
        try:
            return os.read(self._descriptor, 65536).decode()
        except OSError:  # how a terminal ends
            return ""


@pytest.fixture(scope="module")
def parley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parley]:
    """A server whose model does what a message says."""
    parley = Parley(tmp_path_factory.mktemp("parley"), PARLEY_MODEL="scripted")
    parley.start()
    yield parley
    parley.kill()


@contextmanager
def calling(parley: Parley, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`parley chat` with pipes."""
    with subprocess.Popen(
        [sys.executable, "-m", "server", "chat", *arguments],
        cwd=parley.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def streams(process: "subprocess.Popen[bytes]") -> tuple[Said, Said]:
    """Its answers, and its words about them."""
    assert process.stdout is not None
    assert process.stderr is not None
    return Said(process.stdout.fileno()), Said(process.stderr.fileno())


def test_an_answer_is_streamed(parley: Parley) -> None:
    """It is not alone with the server: other verbs work beside it."""
    with calling(parley, '{"tokens": 100, "text": "word ", "every_ms": 10}') as process:
        out, err = streams(process)
        early = out.until("word ")
        assert early.count("word ") < 100
        assert parley.run("token", "--user", "ann").returncode == 0
        assert out.rest() == "word " * 100 + "\n"
        assert "100 out" in err.rest()
        assert process.wait(PATIENCE_S) == 0


def test_a_pipe_gives_messages_one_by_one(parley: Parley) -> None:
    """Nothing is asked where nobody sits; the last answer decides."""
    asked = subprocess.run(
        [sys.executable, "-m", "server", "chat"],
        cwd=parley.folder,
        env=environment(),
        input=f'{QUICK}\n{{"tokens": 1, "text": "done"}}\nno script\n',
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert asked.stdout == "fine fine fine \ndone\n"
    assert asked.returncode == 1
    assert "provider_error" in asked.stderr
    assert "> " not in asked.stderr


def test_by_another_name_it_is_a_strangers_server(parley: Parley) -> None:
    """Who has no token for it comes as a visitor."""
    serving = recorded(parley.data)
    assert serving is not None
    url = serving.url.replace("127.0.0.1", "localhost")
    asked = parley.run("chat", QUICK, "--url", url)
    assert (asked.returncode, asked.stdout) == (0, "fine fine fine \n"), asked.stderr
    *_, line = (line for line in parley.log.read_text().splitlines() if "connection closed" in line)
    assert '"user":"v_' in line


def test_whoever_reads_has_enough_ends_it_without_a_word(parley: Parley) -> None:
    """As in `parley chat … | head`."""
    with calling(parley, SLOW) as process:
        out, err = streams(process)
        out.until("word ")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
        assert "Traceback" not in err.rest()


def test_ctrl_c_stops_the_answer_for_good(parley: Parley) -> None:
    """It stands in the conversation as it was stopped."""
    with calling(parley, SLOW) as process:
        out, err = streams(process)
        out.until("word ", times=3)
        process.send_signal(signal.SIGINT)
        shown = out.rest()
        assert process.wait(PATIENCE_S) == 130
        assert "stopped" in err.rest()
    assert 3 <= shown.count("word ") < 2000
    *_, line = (line for line in parley.log.read_text().splitlines() if "answer ended" in line)
    assert '"outcome":"stopped"' in line


@contextmanager
def sitting(parley: Parley) -> Iterator[tuple["subprocess.Popen[bytes]", int, Said]]:
    """`parley chat` in a terminal: the process, the keyboard and the screen."""
    person, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "server", "chat"],
        cwd=parley.folder,
        env={**environment(), "TERM": "xterm"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - no thread of ours runs meanwhile
    ) as process:
        os.close(its)
        try:
            yield process, person, Said(person)
        finally:
            process.kill()
            os.close(person)


def _take_terminal() -> None:
    """Ctrl-C is typed: the terminal has to be the session's own."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_person_talks_stops_begins_again_and_leaves(parley: Parley) -> None:
    """At a prompt, with Ctrl-C for the answer and then for all."""
    with sitting(parley) as (process, keyboard, screen):
        screen.until("> ")
        os.write(keyboard, QUICK.encode() + b"\n")
        screen.until("fine fine fine")
        screen.until("3 out")
        os.write(keyboard, SLOW.encode() + b"\n")
        screen.until("word word")
        os.write(keyboard, b"\x03")
        screen.until("stopped")
        os.write(keyboard, b"/new\n" + QUICK.encode() + b"\n")
        screen.until("conversation c_", times=2)
        screen.until("3 out", times=2)
        os.write(keyboard, b"/quit\n")
        screen.rest()
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in screen.text
    assert screen.text.endswith("\x1b[?2004l")


def test_ctrl_c_at_the_prompt_leaves(parley: Parley) -> None:
    """So does Ctrl-D; both are no failure."""
    for key in (b"\x03", b"\x04"):
        with sitting(parley) as (process, keyboard, screen):
            screen.until("> ")
            os.write(keyboard, key)
            screen.rest()
            assert process.wait(PATIENCE_S) == 0


def test_without_a_server_the_remedy_is_named(tmp_path: Path) -> None:
    """And nothing is made in the data folder."""
    nobody = Parley(tmp_path)
    asked = nobody.run("chat", "hi", "--url", "http://127.0.0.1:1")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "No Parley server answers at http://127.0.0.1:1" in asked.stderr
    assert "scripts/run" in asked.stderr
    assert not nobody.data.exists()


def test_a_server_that_is_killed_comes_back_with_what_was_saved(tmp_path: Path) -> None:
    """The answer goes on there or ends as interrupted; the person hears of all of it."""
    parley = Parley(tmp_path, PARLEY_MODEL="scripted", PARLEY_PORT=str(free_port()))
    parley.start()
    try:
        with calling(parley, SLOW) as process:
            out, err = streams(process)
            out.until("word ", times=5)
            parley.kill()
            err.until("connection lost, resuming…")
            parley.start()
            words, text = err.rest(), out.rest()
            assert process.wait(PATIENCE_S) == 1
        assert "resumed from what the server had saved" in words
        assert "interrupted" in words
        assert text == "word " * text.count("word ") + "\n"
        assert text.count("word ") >= 5
    finally:
        parley.kill()
