"""A folder to call `parley` in, within this process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from server.cli import main, settings_here
from server.config import secured
from tests.support.parley import environment

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `parley` is called, with nothing set."""
    monkeypatch.chdir(tmp_path)
    clean = environment()
    for name in os.environ.keys() - clean.keys():
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Path:
    """The folder once a server was started in it: it made a secret."""
    secured(settings_here())
    return folder


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls `parley`: its exit status, what it printed, and what it complained of."""

    def called(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return called
