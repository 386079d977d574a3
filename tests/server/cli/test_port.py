"""Why an address is not to be had, in words that help."""

import os
from pathlib import Path

import pytest

from server.cli.port import NoPort, listening, url_of
from server.cli.serving import Serving, announced
from server.config import Settings
from tests.support.health import health, saying
from tests.support.services import free_port


def refusal(settings: Settings) -> str:
    """What is said."""
    with pytest.raises(NoPort) as refused:
        listening(settings)
    return str(refused.value)


def test_a_free_port_is_listened_on() -> None:
    """0 takes any, and the socket knows which."""
    with listening(Settings(port=0)) as listener:
        assert listener.getsockname()[1] > 0


def test_a_port_that_another_program_has_is_named_with_a_way_out() -> None:
    """The person learns what to set."""
    with saying({}) as asked:
        port = int(asked.url.rpartition(":")[2])
        said = refusal(Settings(port=port))
    assert f"Port {port} of 127.0.0.1 is taken by another program" in said
    assert f"PARLEY_PORT={port + 1}" in said


def test_a_port_that_this_folders_server_has_names_its_process(tmp_path: Path) -> None:
    """The commonest case: it was started twice."""
    settings = Settings(data_dir=tmp_path)
    with saying(health("one")) as asked:
        port = int(asked.url.rpartition(":")[2])
        here = Serving(pid=os.getpid(), url=asked.url, instance="one", version="0", started="")
        with announced(settings.data_dir, here):
            said = refusal(Settings(data_dir=settings.data_dir, port=port))
    assert f"taken by Parley: process {os.getpid()} serves this very data folder" in said


def test_a_port_that_another_folders_server_has_names_its_instance() -> None:
    """Two projects on one machine."""
    with saying(health("two")) as asked:
        said = refusal(Settings(port=int(asked.url.rpartition(":")[2])))
    assert "taken by another Parley (instance two)" in said


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    """As is a name that leads nowhere."""
    said = refusal(Settings(host=host, port=free_port()))
    assert f"{host} is no address of this machine" in said


def test_the_url_is_one_that_this_machine_can_use() -> None:
    """Whatever it listens on, and with brackets where they belong."""
    assert url_of(Settings(host="0.0.0.0"), 1) == "http://127.0.0.1:1"
    assert url_of(Settings(host="::"), 1) == "http://[::1]:1"
    assert url_of(Settings(host="localhost"), 1) == "http://localhost:1"
