"""How `parley` begins and ends, whichever verb it is given."""

import io
import sys
from pathlib import Path

import pytest

from server.cli import VERBS, main, settings_here


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
