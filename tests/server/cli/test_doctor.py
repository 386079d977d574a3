"""`parley doctor` says what is, and what is wrong with its remedy."""

import os
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from server.cli.serving import Serving, announced
from tests.server.cli.conftest import Call
from tests.support.health import health, saying
from tests.support.services import Redis, free_port

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def port(folder: Path) -> int:
    """One that is free, whatever runs on this machine."""
    port = free_port()
    (folder / ".env").write_text(f"PARLEY_PORT={port}\n")
    return port


def wrong(printed: str) -> list[str]:
    """The lines that say that something is."""
    return [line for line in printed.splitlines() if line.startswith("WRONG")]


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(
    call: Call, folder: Path
) -> None:
    """It only looks, and says that there is nothing to see."""
    status, printed, _ = call("doctor")
    assert (status, wrong(printed)) == (0, [])
    assert f"{folder / 'data'} is not there: no server was started on it yet." in printed
    assert not (folder / "data").exists()


def test_after_it_the_database_answers(call: Call, started: Path) -> None:
    """With its kind and version."""
    call("migrate")
    status, printed, _ = call("doctor")
    assert (status, wrong(printed)) == (0, [])
    assert "It answers: sqlite 3." in printed


def test_a_server_that_runs_is_part_of_it(call: Call, folder: Path) -> None:
    """Its own word, instead of a look into what it holds."""
    (folder / "data").mkdir(0o700)
    with saying(health("one", version="0.0.9")) as asked:
        here = Serving(pid=os.getpid(), url=asked.url, instance="one", version="0", started="now")
        with announced(folder / "data", here):
            status, printed, _ = call("doctor")
    assert status == 0
    assert f"It serves at {asked.url}: process {os.getpid()} since now" in printed
    assert "It runs version 0.0.9" in printed


@pytest.mark.parametrize(("there", "words"), [(True, "another file has"), (False, "was deleted")])
def test_a_servers_database_that_went_away_is_wrong(
    call: Call, folder: Path, there: bool, words: str
) -> None:
    """Only the server knows that what it opened is not what is there."""
    (folder / "data").mkdir(0o700)
    if there:
        (folder / "data" / "parley.db").touch()
    with saying(health("one", dependencies={"database": "failed"})) as asked:
        here = Serving(pid=os.getpid(), url=asked.url, instance="one", version="0", started="now")
        with announced(folder / "data", here):
            status, printed, _ = call("doctor")
    assert status == 1
    assert words in wrong(printed)[0]
    assert "Put the file back, or stop the server" in wrong(printed)[0]


def test_another_programs_database_is_wrong(call: Call, folder: Path) -> None:
    """It is not offered to be migrated."""
    (folder / "data").mkdir(0o700)
    with closing(sqlite3.connect(folder / "data" / "parley.db")) as other:
        other.execute("CREATE TABLE users (x)")
    status, printed, _ = call("doctor")
    assert status == 1
    assert "is another program's database" in wrong(printed)[0]
    status, _, complaint = call("migrate")
    assert status == 1
    assert "is another program's database" in complaint
    assert "CREATE" not in complaint


def test_a_taken_port_is_wrong(call: Call, folder: Path) -> None:
    """The next start would fail."""
    with saying({}) as asked:
        (folder / ".env").write_text(f"PARLEY_PORT={asked.url.rpartition(':')[2]}")
        status, printed, _ = call("doctor")
    assert status == 1
    assert "taken by another program" in wrong(printed)[0]


def test_a_secret_that_others_can_read_is_wrong(call: Call, started: Path) -> None:
    """The remedy is a command."""
    (started / "data" / "secret").chmod(0o644)
    status, printed, _ = call("doctor")
    assert status == 1
    assert "chmod 600" in wrong(printed)[0]


def test_a_folder_that_others_can_look_into_is_a_note(call: Call, folder: Path) -> None:
    """Nothing fails by it."""
    (folder / "data").mkdir()
    (folder / "data").chmod(0o755)
    status, printed, _ = call("doctor")
    assert status == 0
    assert "`chmod 700 data` keeps them out." in printed


def test_a_file_in_the_folders_place_is_wrong(call: Call, folder: Path) -> None:
    """Nothing could be kept in it."""
    (folder / "data").touch()
    status, printed, _ = call("doctor")
    assert status == 1
    assert "is no folder" in wrong(printed)[0]


def test_a_folder_that_can_never_be_is_wrong(call: Call, folder: Path) -> None:
    """It is looked at no further, and ends in words."""
    (folder / ".env").write_text(f"PARLEY_PORT=0\nPARLEY_DATA_DIR={'a' * 300}\n")
    status, printed, _ = call("doctor")
    assert status == 1
    assert "File name too long" in wrong(printed)[0]


def test_a_full_disk_is_wrong(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """No message could be acknowledged."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1 << 20))
    status, printed, _ = call("doctor")
    assert status == 1
    assert "1 MiB are free. Make room" in wrong(printed)[0]


def test_a_database_without_its_tables_is_wrong(call: Call, folder: Path) -> None:
    """The remedy is a verb."""
    (folder / "data").mkdir()
    (folder / "data" / "parley.db").touch()
    status, printed, _ = call("doctor")
    assert status == 1
    assert "It lacks migrations: 0001 rows" in wrong(printed)[0]
    assert "parley migrate" in wrong(printed)[0]


def test_a_database_that_is_none_is_wrong_and_shows_no_password(call: Call, folder: Path) -> None:
    """Neither the file's nor the server's."""
    (folder / ".env").write_text(f"DATABASE_URL=postgresql://me:hunter2@127.0.0.1:{free_port()}/x")
    status, printed, _ = call("doctor")
    assert status == 1
    assert "database" in wrong(printed)[0]
    assert "hunter2" not in printed


def test_an_issuer_that_does_not_answer_is_wrong(call: Call, folder: Path) -> None:
    """Its users could not come in."""
    with (folder / ".env").open("a") as file:
        file.write(f"PARLEY_JWKS_URL=http://127.0.0.1:{free_port()}/keys")
    status, printed, _ = call("doctor")
    assert status == 1
    assert "No keys from http://127.0.0.1:" in wrong(printed)[0]


def test_an_issuer_that_answers_is_told(call: Call, folder: Path) -> None:
    """And that there is no secret of our own, in production."""
    with saying({"keys": []}) as asked, (folder / ".env").open("a") as file:
        file.write(f"PARLEY_JWKS_URL={asked.url}/keys\n")
        file.flush()
        status, printed, _ = call("doctor")
    assert (status, wrong(printed)) == (0, [])
    assert f"Its keys are at {asked.url}/keys." in printed


def test_a_server_that_was_killed_is_a_note(call: Call, folder: Path) -> None:
    """The next start goes on where it was."""
    (folder / "data").mkdir(0o700)
    gone = Serving(pid=2**22 + 1, url="http://x", instance="one", version="0", started="")
    with announced(folder / "data", gone):
        status, printed, _ = call("doctor")
    assert status == 0
    assert "does not answer. If it was killed, the next start goes on." in printed


def test_what_has_no_effect_is_named(call: Call, folder: Path) -> None:
    """Whoever set it believes that it has one."""
    with (folder / ".env").open("a") as file:
        file.write("QDRANT_URL=http://127.0.0.1\n")
    assert "QDRANT_URL is without effect" in call("doctor")[1]


def test_a_redis_that_answers_is_told(call: Call, folder: Path, redis_url: str) -> None:
    """What is said there is heard: no less would do for several instances."""
    with (folder / ".env").open("a") as file:
        file.write(f"REDIS_URL={redis_url}\n")
    status, printed, _ = call("doctor")
    assert (status, wrong(printed)) == (0, [])
    assert "What is said there is heard: version " in printed


def test_a_redis_that_gives_up_logs_is_a_note(call: Call, folder: Path, fresh_redis: Redis) -> None:
    """Nothing is lost by it, but clients get more than they would need."""
    fresh_redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with (folder / ".env").open("a") as file:
        file.write(f"REDIS_URL={fresh_redis.url()}\n")
    status, printed, _ = call("doctor")
    assert status == 0
    assert "Short of memory it gives up what clients resume from (allkeys-lru)." in printed


def test_a_redis_that_does_not_answer_is_wrong_and_shows_no_password(
    call: Call, folder: Path
) -> None:
    """The host is told, what opens it is not."""
    with (folder / ".env").open("a") as file:
        file.write(f"REDIS_URL=redis://:hunter2@127.0.0.1:{free_port()}/0\n")
    status, printed, _ = call("doctor")
    assert status == 1
    assert "Redis at 127.0.0.1, where REDIS_URL points, is out of reach" in wrong(printed)[0]
    assert "hunter2" not in printed
