"""A data folder that can never be is named by every verb that needs it, and by its variable."""

from pathlib import Path

import pytest

from server.cli.folder import make, obstacle
from server.config import ConfigError
from tests.server.cli.conftest import Call


def unfit(folder: Path, kind: str) -> Path:
    """What was named instead of a folder."""
    place = folder / "named"
    match kind:
        case "file":
            place.touch()
        case "below a file":
            place.touch()
            return place / "data"
        case "link to itself":
            place.symlink_to(place)
        case "link to nothing":
            place.symlink_to(folder / "nothing")
        case "long name":
            return folder / ("x" * 300)
    return place


KINDS = {
    "file": "named is no folder.",
    "below a file": "named is no folder.",
    "link to itself": "Too many levels of symbolic links.",
    "link to nothing": "named is a link to what is not there.",
    "long name": "File name too long.",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_verb_names_the_folder_and_its_variable(call: Call, folder: Path, kind: str) -> None:
    """Not the secret that would lie in it, and without a traceback."""
    place = unfit(folder, kind)
    (folder / ".env").write_text(f"PARLEY_PORT=0\nPARLEY_DATA_DIR={place}\n")
    for verb in (["serve"], ["migrate"], ["token", "--user", "ann"]):
        status, printed, complaint = call(*verb)
        assert (status, printed) == (2, "")
        assert f"PARLEY_DATA_DIR: {folder}" in complaint
        assert KINDS[kind] in complaint
        assert "PARLEY_JWT_SECRET" not in complaint
    status, printed, complaint = call("doctor")
    wrong = [line.split()[1] for line in printed.splitlines() if line.startswith("WRONG")]
    assert (status, wrong, complaint) == (1, ["data", "database"], "")
    assert KINDS[kind] in printed


def test_a_token_of_a_secret_that_was_set_needs_no_folder(call: Call, folder: Path) -> None:
    """Nothing is read there."""
    (folder / ".env").write_text(f"PARLEY_DATA_DIR=.env\nPARLEY_JWT_SECRET={'s3cret' * 8}\n")
    assert call("token", "--user", "ann")[0] == 0


def test_a_folder_is_made_for_one_user_with_those_above_it(tmp_path: Path) -> None:
    """Also through a link to a folder; and once it is there it stays as it is."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place = tmp_path / "link" / "a" / "b"
    assert obstacle(place) is None
    make(place)
    make(place)
    assert place.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "real" / "a" / "b").is_dir()


def test_what_the_machine_refuses_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may be full, or for reading only."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match=r"PARLEY_DATA_DIR: The folder .* cannot be made: Read"):
        make(tmp_path / "data")
