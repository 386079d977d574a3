"""The development secret in the data directory."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from server.auth.secret import SecretUnfit, development_secret
from server.auth.signatures import secret_key


def test_a_secret_is_made_once_and_found_again(tmp_path: Path) -> None:
    """For nobody else to read, and good to sign with."""
    folder = tmp_path / "data" / "deep"
    secret = development_secret(folder)
    assert development_secret(folder) == secret
    assert secret_key(secret).algorithm == "HS256"
    assert [path.name for path in folder.iterdir()] == ["secret"]
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert development_secret(tmp_path / "other") != secret


def test_of_processes_that_start_together_all_have_the_same(tmp_path: Path) -> None:
    """Whoever is first wins, and nobody reads half of it."""
    barrier, found = threading.Barrier(8), set[bytes]()

    def start() -> None:
        barrier.wait()
        found.add(development_secret(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def written(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def linked(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    written(elsewhere, "x" * 64)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: written(path, "x" * 64, 0o644), "chmod 600"),
        (lambda path: written(path, "x" * 64, 0o620), "chmod 600"),
        (lambda path: written(path, "short"), "holds 5 bytes"),
        (lambda path: written(path, " " * 64 + "\n"), "holds 0 bytes"),
        (lambda path: written(path, ""), "holds 0 bytes"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: os.mkfifo(path, 0o600), "not a file"),
        (linked, "cannot be made or read"),
        (lambda path: path.symlink_to(path.with_name("nowhere")), "cannot be made or read"),
    ],
)
def test_a_secret_that_others_may_know_is_not_used(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    """The message says what is wrong and what to do, and nothing of the secret."""
    spoil(tmp_path / "secret")
    with pytest.raises(SecretUnfit) as caught:
        development_secret(tmp_path)
    assert says in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_data_directory_that_is_none_is_named(tmp_path: Path) -> None:
    """It is what the person set."""
    written(tmp_path / "file", "")
    with pytest.raises(SecretUnfit, match="data directory"):
        development_secret(tmp_path / "file")
