"""How `parley` begins and ends, whichever verb it is given."""

import errno
import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import VERBS, main, settings_here
from tests.support.parley import environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is called."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """A person who knows nothing learns what there is."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n    {verb} " in said for verb in VERBS)


@pytest.mark.parametrize("arguments", [[], ["sing"], ["schema", "--loud"]])
def test_what_is_no_verb_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what would be one."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: parley" in capsys.readouterr().err


def test_settings_come_from_the_folder_it_is_called_in(folder: Path) -> None:
    """`.env` there counts."""
    (folder / ".env").write_text("PARLEY_PORT=1234")
    assert settings_here().port == 1234


def test_wrong_settings_end_every_verb_in_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them at once, and no traceback."""
    (folder / ".env").write_text("PARLEY_PORT=x\nPARLEY_HOST=example.org")
    assert main(["schema"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("2 settings are not right:\n")


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """Not every file called .env is one."""
    (folder / ".env").write_bytes(b"\xff")
    assert main(["schema"]) == 2
    (folder / ".env").unlink()
    (folder / ".env").mkdir()
    assert main(["schema"]) == 2


def test_a_reader_who_has_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`parley schema | head` ends without a traceback."""

    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare.fileno()

    with Path("spare").open("w") as spare:
        monkeypatch.setattr(sys, "stdout", Closed())
        assert main(["schema"]) == 1


def test_another_failure_of_the_machine_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only output that cannot be written is nobody's fault here."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.EINVAL, "no such luck")

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(OSError, match="no such luck"):
        main(["schema"])


COMMANDS = ["schema", "migrate", "--help", "chat --url 127.0.0.1:1 x"]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """What a person types, `parley` standing for ours; buffered, as it is unless somebody asks."""
    parley = f"{shlex.quote(sys.executable)} -m server"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('parley', parley)}"],
        env={**environment(), "PARLEY_PORT": "0", "PYTHONUNBUFFERED": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("streams", ["| head -0", ">/dev/full", "<&- >&-"])
def test_streams_that_are_closed_or_full_end_in_words(command: str, streams: str) -> None:
    """No traceback, and no word of the interpreter's; what was not written is no success."""
    ended = shell(f"parley {command} {streams}")
    assert ended.returncode in (0, 1), ended
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    if streams == ">/dev/full" and command != COMMANDS[-1]:
        assert ended.returncode == 1
        assert "The output cannot be written: No space left on device." in ended.stderr


def test_output_and_complaint_that_cannot_be_written_leave_a_status() -> None:
    """Nobody can be told more."""
    assert shell("parley schema >/dev/full 2>/dev/full").returncode == 1
