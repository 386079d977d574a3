"""The steps that Redis does at once."""

from pathlib import Path

import pytest

from storage.redis import link, log, roundtrip, scripts
from storage.redis.scripts import Script
from tests.support.services import Redis

SCRIPTS = [
    value
    for module in (link, log, roundtrip)
    for value in vars(module).values()
    if isinstance(value, Script)
]


@pytest.mark.parametrize("script", SCRIPTS, ids=repr)
def test_the_server_knows_a_script_by_its_sum(script: Script, redis_server: Redis) -> None:
    """And can read it."""
    assert redis_server.ask("SCRIPT", "LOAD", script.text) == script.sum


def test_what_scripts_share_stands_before_them() -> None:
    """Lua has to know a function before it is called."""
    folder = Path(scripts.__file__).parent / "lua"
    shared, own = (folder / "common.lua").read_text(), (folder / "heads.lua").read_text()
    assert Script("heads", shares="common").text == f"{shared}\n{own}"
    assert Script("say").text == (folder / "say.lua").read_text()


def test_a_script_names_itself() -> None:
    """Its text would fill a log."""
    assert repr(Script("say")) == "<Script say>"
