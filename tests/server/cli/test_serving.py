"""Who runs from a data folder, and whether they still do."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from server.cli.asking import NoAnswer
from server.cli.serving import (
    FILE,
    Serving,
    announced,
    health_of,
    leaving,
    living,
    recorded,
    why_not,
)
from server.config import ConfigError, Settings
from storage.errors import Busy, Unavailable
from tests.support.health import health, saying

HERE = Serving(
    pid=os.getpid(),
    url="http://127.0.0.1:1",
    instance="one",
    version="0.1.0",
    started="2026-11-21T00:00:00+00:00",
)


def test_a_server_is_announced_while_it_serves(tmp_path: Path) -> None:
    """To its own user alone, and no longer."""
    with announced(tmp_path, HERE):
        assert recorded(tmp_path) == HERE
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_an_announcement_takes_the_place_of_what_a_killed_server_left(tmp_path: Path) -> None:
    """Half a file, or another's word."""
    (tmp_path / FILE).write_text('{"pid": 1')
    assert recorded(tmp_path) is None
    with announced(tmp_path, HERE):
        assert recorded(tmp_path) == HERE


def test_a_server_takes_back_only_its_own_word(tmp_path: Path) -> None:
    """One that ends late leaves its successor's alone."""
    successor = replace(HERE, instance="two")
    with announced(tmp_path, successor):
        with announced(tmp_path, HERE):
            (tmp_path / FILE).unlink()
            with announced(tmp_path, successor):
                pass
        assert recorded(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The start ends in words."""
    with pytest.raises(ConfigError, match="No such file"), announced(tmp_path / "gone", HERE):
        pass


def test_a_server_lives_that_answers_as_the_one_that_was_announced(tmp_path: Path) -> None:
    """Its health comes with it."""
    with saying(health("one")) as asked, announced(tmp_path, replace(HERE, url=asked.url)):
        found = living(Settings(data_dir=tmp_path))
        assert found is not None
        assert (found[0].url, found[1].schema_version, found[1].sockets) == (asked.url, 2, 3)


@pytest.mark.parametrize("answer", [health("two"), {"hello": "world"}, [1]])
def test_another_server_at_its_address_is_not_it(tmp_path: Path, answer: object) -> None:
    """The port may have gone to somebody else since."""
    with saying(answer) as asked, announced(tmp_path, replace(HERE, url=asked.url)):
        assert living(Settings(data_dir=tmp_path)) is None


def test_one_that_was_killed_does_not_live(tmp_path: Path) -> None:
    """Its process is gone, or there but mute: the file proves nothing."""
    settings = Settings(data_dir=tmp_path)
    assert living(settings) is None
    with announced(tmp_path, HERE):
        assert living(settings) is None
    with announced(tmp_path, replace(HERE, pid=2**22 + 1)):
        assert living(settings) is None
    with pytest.raises(NoAnswer):
        health_of(HERE.url)


def test_who_holds_the_database_and_answers_no_more_is_leaving(tmp_path: Path) -> None:
    """The sentence says who, and how not to wait; of any other reason it is the reason's own."""
    settings = Settings(data_dir=tmp_path)
    busy = Busy("the database", f"process {HERE.pid}")
    assert leaving(settings, busy) is None
    with announced(tmp_path, HERE):
        assert leaving(settings, busy) == HERE
        assert f"process id {HERE.pid} is shutting down" in why_not(settings, busy)
        for other in (Busy("the database", "process 1"), Busy("x"), Unavailable("gone")):
            assert leaving(settings, other) is None
            assert why_not(settings, other) == str(other)


def test_a_server_that_answers_is_not_leaving(tmp_path: Path) -> None:
    """It holds its database because it serves."""
    with saying(health("one")) as asked, announced(tmp_path, replace(HERE, url=asked.url)):
        busy = Busy("the database", f"process {HERE.pid}")
        assert leaving(Settings(data_dir=tmp_path), busy) is None
