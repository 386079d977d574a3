"""`parley serve` from outside: what it says, what it leaves, how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from server.cli.serve import greeting
from server.cli.serving import FILE, Serving, living
from server.config import Environment, Settings
from tests.support.health import saying
from tests.support.parley import Parley, environment
from tests.support.waiting import PATIENCE_S, until

HERE = Serving(pid=1, url="http://127.0.0.1:8000", instance="one", version="0.1.0", started="")


@pytest.fixture
def parley(tmp_path: Path) -> Parley:
    """A folder to serve from."""
    return Parley(tmp_path)


def test_the_first_start_serves_on_a_port_that_it_tells(parley: Parley) -> None:
    """With port 0 it says which one it got, to people and to other verbs."""
    with parley.serving() as serving:
        with urlopen(f"{serving.url}/health/ready") as answer:
            assert json.load(answer)["ready"]
        assert f"serves at {serving.url} (Ctrl-C ends it)" in parley.log.read_text()
        assert not serving.url.endswith(":0")


@pytest.fixture
def hangups() -> Iterator[None]:
    """What is started heeds them, however the tests were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_when_it_is_asked_to(parley: Parley, how: signal.Signals) -> None:
    """In order: with status 0, its word taken back, and no traceback."""
    with parley.serving():
        assert parley.stop(how) == 0
        assert not (parley.data / FILE).exists()
        assert "Traceback" not in parley.log.read_text()


def test_the_verbs_talk_to_the_server_that_runs(parley: Parley) -> None:
    """What it holds is not opened beside it."""
    with parley.serving() as serving:
        assert f"The server at {serving.url}" in parley.run("migrate").stdout
        doctor = parley.run("doctor")
        assert f"It serves at {serving.url}: process {serving.pid}" in doctor.stdout
        assert doctor.returncode == 0


def test_a_second_server_on_the_folder_says_who_holds_it(parley: Parley) -> None:
    """On another port as on the same."""
    with parley.serving() as serving:
        second = parley.run("serve")
        assert second.returncode == 1
        assert f"is held by process {serving.pid}" in second.stderr
        parley.set(PARLEY_PORT=serving.url.rpartition(":")[2])
        third = parley.run("serve")
        assert third.returncode == 1
        assert f"process {serving.pid} serves this very data folder" in third.stderr


@contextmanager
def answering(parley: Parley) -> Iterator[None]:
    """Somebody is being answered, for longer than any test lasts."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "server",
            "chat",
            '{"tokens": 9999, "text": "word ", "every_ms": 20}',
        ],
        cwd=parley.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as asking:
        assert asking.stdout is not None
        try:
            assert asking.stdout.read(4) == b"word"
            yield
        finally:
            asking.kill()


async def test_while_it_shuts_down_the_verbs_say_so(parley: Parley) -> None:
    """It takes nobody any more, and an answer may still end: to wait is no failure of anything."""
    parley.set(PARLEY_MODEL="scripted", PARLEY_SOCKET_DRAIN_GRACE_S="200")
    with parley.serving() as serving, answering(parley):
        parley.send(signal.SIGTERM)
        await until(lambda: living(Settings(data_dir=parley.data)) is None)
        words = f"server with process id {serving.pid} is shutting down on this folder"
        migrate, doctor, second = (parley.run(verb) for verb in ("migrate", "doctor", "serve"))
        assert (migrate.returncode, second.returncode) == (1, 1)
        assert all(words in said for said in (migrate.stderr, doctor.stdout, second.stderr))
        assert doctor.returncode == 0
        assert f"Process {serving.pid}, which served at {serving.url}" in doctor.stdout
        parley.send(signal.SIGTERM)
        assert parley.ended() == -signal.SIGTERM


def test_a_database_that_was_deleted_under_the_server_is_told(parley: Parley) -> None:
    """By `ready`, doctor and the log."""
    with parley.serving() as serving:
        assert parley.run("chat", "hello").returncode == 0
        (parley.data / "parley.db").unlink()
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"{serving.url}/health/ready")
        assert "was deleted or moved under the server" in parley.run("doctor").stdout
        assert "so nothing is accepted any more" in parley.log.read_text()


def test_a_start_after_a_kill_takes_the_folder_over(parley: Parley) -> None:
    """What the dead one left keeps nobody out."""
    with parley.serving() as killed:
        parley.kill()
        assert (parley.data / FILE).exists()
        with parley.serving() as serving:
            assert serving.pid != killed.pid
            assert parley.stop() == 0


def test_a_port_of_another_program_ends_the_start(parley: Parley) -> None:
    """With a sentence, before anything is opened."""
    with saying({}) as other:
        parley.set(PARLEY_PORT=other.url.rpartition(":")[2])
        refused = parley.run("serve", "--migrate")
    assert refused.returncode == 1
    assert "is taken by another program" in refused.stderr
    assert not (parley.data / "parley.db").exists()


def test_without_its_tables_it_does_not_serve(parley: Parley) -> None:
    """Several instances must not migrate because one of them was started."""
    refused = parley.run("serve")
    assert refused.returncode == 1
    assert "Run `parley migrate`" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_has_no_effect_is_said_at_the_start(parley: Parley) -> None:
    """And the server serves all the same."""
    parley.set(QDRANT_URL="http://127.0.0.1:1")
    with parley.serving():
        assert "Note: QDRANT_URL is without effect" in parley.log.read_text()


def test_a_greeting_says_where_and_what_next() -> None:
    """In public nobody is told to try a command of this machine."""
    here = greeting(Settings(), HERE)
    assert "parley chat" in here
    assert "Open http://127.0.0.1:8000 in a browser" in here
    public = Settings(
        env=Environment.PRODUCTION, public_url="https://chat.example.org", base_path="/chat"
    )
    assert "parley chat" not in greeting(public, HERE)
    assert "in a browser" not in greeting(public, HERE)
    assert "https://chat.example.org/chat" in greeting(public, HERE)


@contextmanager
def streamless(parley: Parley) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that was started with none of the standard streams."""
    command = f'exec "{sys.executable}" -m server serve --migrate <&- >&- 2>&-'
    with subprocess.Popen(["bash", "-c", command], cwd=parley.folder, env=environment()) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_it_serves_without_standard_streams(parley: Parley) -> None:
    """As some supervisors start it; what it would say is dropped."""
    with streamless(parley) as process:
        await until(lambda: living(Settings(data_dir=parley.data)))
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


async def test_a_second_ctrl_c_ends_it_at_once(parley: Parley) -> None:
    """Of the second signal it dies, with the status of an interruption and no traceback."""
    parley.set(PARLEY_MODEL="scripted", PARLEY_SOCKET_DRAIN_GRACE_S="200")
    with parley.serving(), answering(parley):
        parley.send(signal.SIGINT)
        await until(lambda: living(Settings(data_dir=parley.data)) is None)
        parley.send(signal.SIGINT)
        assert parley.ended() == 128 + signal.SIGINT
        assert "Traceback" not in parley.log.read_text()
